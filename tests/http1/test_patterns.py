"""The expressions that read what comes from outside: none of them looks at a byte again and again."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import splicer.admin
import splicer.http1
import splicer.session
from splicer.routing import normal

_parser: Any = import_module("re._parser")  # re has no other way to show what it makes of an expression


def open_repeats(tree: Any) -> Iterator[str]:
    """The repeats without an end that give back what they have taken: two of them in a row are quadratic."""
    for operation, argument in tree:
        name = str(operation)
        if name in {"MAX_REPEAT", "MIN_REPEAT"} and argument[1] is _parser.MAXREPEAT:
            yield f"{name} {argument[2]}"
        for part in argument if isinstance(argument, (tuple, list)) else [argument]:
            for inner in part if isinstance(part, list) else [part]:
                if isinstance(inner, _parser.SubPattern):
                    yield from open_repeats(inner)


def modules() -> Iterator[ModuleType]:
    for package in splicer.http1, splicer.session, splicer.admin:
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield import_module(found.name)
    yield normal


PATTERNS = {
    f"{module.__name__}.{name}": value
    for module in modules()
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
}


@pytest.mark.parametrize("name", PATTERNS)
def test_what_was_taken_is_not_given_back(name: str) -> None:
    pattern = PATTERNS[name]
    assert list(open_repeats(_parser.parse(pattern.pattern, pattern.flags))) == []


def test_the_law_sees_what_is_nested() -> None:
    assert len(PATTERNS) > 15
    for text in ("a*", "(?:a|b+)", "(?P<x>(?:a?b*?)++)", "(?=a*)", "(?>a*)"):
        assert list(open_repeats(_parser.parse(text))), text
    assert not list(open_repeats(_parser.parse("(?:a*+b{0,9}|[^c]++)?+")))
