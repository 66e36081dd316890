"""The names of the log events in the code, found without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# The methods of a logger, and what the supervisor, the vault and their parts call the function that writes their lines.
_LEVELS = frozenset({"info", "warning", "error"})
_PLAIN = frozenset({"log", "_log"})
_HANDING_ON = frozenset({"say"})  # `Observers.say`
_EVENT = re.compile(r"[a-z]+(_[a-z]+)*")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Event(NamedTuple):
    """An event, and its level where the line that logs it says so."""

    name: str
    level: str | None


def logged_events(package: Path) -> set[Event]:
    """Every event.

    A function that hands a parameter on to a logger is a logger itself; so is one that keeps it in an attribute which
    another function hands on.

    Args:
        package: the directory of a package. Its `demo` and `ops`, which print what a person reads, are left out.
    """
    files = [file for file in package.rglob("*.py") if file.relative_to(package).parts[0] not in ("demo", "ops")]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    writers = {*_LEVELS, *_PLAIN, *_HANDING_ON}
    while more := {name for tree in trees for name in _handing_on(tree, writers)} - writers:
        writers |= more
    return {
        Event(text, _level(call))
        for tree in trees
        for call in _calls(tree, writers)
        if (text := _first_text(call)) is not None and _EVENT.fullmatch(text)
    }


def _handing_on(tree: ast.Module, writers: set[str]) -> Iterator[str]:
    kept = {node.attr for call in _calls(tree, writers) for node in call.args if isinstance(node, ast.Attribute)}
    for function in (node for node in ast.walk(tree) if isinstance(node, _Function)):
        parameters = {argument.arg for argument in function.args.args} - {"self"}
        handed_on = {node.id for call in _calls(function, writers) for node in call.args if isinstance(node, ast.Name)}
        if parameters & handed_on or parameters & set(_kept_in(function, kept)):
            yield function.name


def _kept_in(function: _Function, attributes: set[str]) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Name(id=value)) if name in attributes:
                yield value


def _calls(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node) in names)


def _name(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _first_text(call: ast.Call) -> str | None:
    match call.args:
        case [ast.Constant(value=str(text)), *_]:
            return text
    return None


def _level(call: ast.Call) -> str | None:
    for keyword in call.keywords:
        match keyword:
            case ast.keyword(arg="level", value=ast.Constant(value=str(level))):
                return level
    name = _name(call)
    return name if name in _LEVELS else "info" if name in _PLAIN else None
