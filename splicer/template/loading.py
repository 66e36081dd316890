"""Importing the programs that the template forks.

For tracebacks, attrs keeps the text of each method that it makes: a megabyte in all processes together. It is dropped
after each program, so that the next one's objects take its room.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable
from importlib import import_module


def load(programs: Iterable[str]) -> dict[str, Callable[[], object]]:
    """Import programs; return the function that runs each.

    Args:
        programs: their modules, or packages, as `python -m` has them.

    Raises:
        ImportError: there is no such program.
    """
    return {program: _load(program) for program in programs}


def _load(program: str) -> Callable[[], object]:
    linecache.clearcache()
    module = import_module(program)
    if hasattr(module, "__path__"):
        module = import_module(f"{program}.__main__")
    main: Callable[[], object] = module.main
    return main
