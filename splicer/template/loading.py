"""Importing the programs that the template forks.

For tracebacks, attrs keeps the text of each method that it makes: a megabyte in all processes together. It is dropped
before each program, whose objects take its room.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping


def load() -> Mapping[str, Callable[[], object]]:
    """Import the programs; return what runs each, by the name that `python -m` has for it."""
    linecache.clearcache()
    from splicer.worker import __main__ as worker

    linecache.clearcache()
    from splicer.admin import __main__ as admin

    linecache.clearcache()
    from splicer.configfile import inspect
    from splicer.discovery import __main__ as discovery

    linecache.clearcache()
    return {
        worker.__package__: worker.main,
        admin.__package__: admin.main,
        discovery.__package__: discovery.main,
        inspect.__name__: inspect.main,
    }
