"""The names of the log events in the code, found without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# The methods of a logger, and what the supervisor, the vault and their parts call the function that writes their lines.
_LEVELS = {"info": "info", "info_json": "info", "warning": "warning", "error": "error"}
_PLAIN = frozenset({"log", "_log"})
_HANDING_ON = frozenset({"say"})  # `Observers.say`
_EVENT = re.compile(r"[a-z]+(_[a-z]+)*")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Event(NamedTuple):
    """An event, and its level where the line that logs it says so."""

    name: str
    level: str | None


class _Scope(NamedTuple):
    """A module or a function, and what is in it.

    Args:
        name: a function's; "" for a module.
        parameters: a function's, but for `self`.
        calls: with functions' in functions.
        kept: attributes, each with the name of the variable whose value it gets.
    """

    name: str
    parameters: set[str]
    calls: list[ast.Call]
    kept: list[tuple[str, str]]


def logged_events(package: Path) -> set[Event]:
    """Every event.

    A function that hands a parameter on to a logger is a logger itself; so is one that keeps it in an attribute which
    another function hands on.

    Args:
        package: the directory of a package. Its `demo`, `ops` and `importer`, which tell a person, are left out.
    """
    apart = ("demo", "ops", "importer")
    files = [file for file in package.rglob("*.py") if file.relative_to(package).parts[0] not in apart]
    modules = [list(_scopes(ast.parse(file.read_text(encoding="utf-8")))) for file in files]
    writers = {*_LEVELS, *_PLAIN, *_HANDING_ON}
    while more := {name for scopes in modules for name in _handing_on(scopes, writers)} - writers:
        writers |= more
    return {
        Event(text, _level(call))
        for whole, *_ in modules
        for call in _calls(whole, writers)
        if (text := _first_text(call)) is not None and _EVENT.fullmatch(text)
    }


# The module is the first one.
def _scopes(tree: ast.Module) -> Iterator[_Scope]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | _Function):
            inner = list(ast.walk(node))
            calls = [each for each in inner if isinstance(each, ast.Call)]
            name, parameters = "", set()
            if isinstance(node, _Function):
                name, parameters = node.name, {argument.arg for argument in node.args.args} - {"self"}
            yield _Scope(name, parameters, calls, list(_kept(inner)))


def _kept(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Name(id=value)):
                yield name, value


def _handing_on(scopes: list[_Scope], writers: set[str]) -> Iterator[str]:
    whole, *functions = scopes
    attributes = {node.attr for call in _calls(whole, writers) for node in call.args if isinstance(node, ast.Attribute)}
    for function in functions:
        handed_on = {node.id for call in _calls(function, writers) for node in call.args if isinstance(node, ast.Name)}
        handed_on |= {value for name, value in function.kept if name in attributes}
        if function.parameters & handed_on:
            yield function.name


def _calls(scope: _Scope, names: set[str]) -> list[ast.Call]:
    return [call for call in scope.calls if _name(call) in names]


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
    return _LEVELS.get(name, "info" if name in _PLAIN else None)
