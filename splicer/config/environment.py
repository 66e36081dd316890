"""``${NAME}`` and ``${NAME:-default}`` in the strings of a parsed file.

They are filled in after the TOML was parsed, so a variable's value is never read as syntax.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_DEPTH = 8  # no valid key is nested deeper; dotted keys in a file can nest without bound


class FromEnvironment(str):
    """A string that comes wholly from the environment: it may stand for a number or a boolean."""

    __slots__ = ()


class Unresolved(str):
    """Takes the place of a string that couldn't be filled in; its text is the fault.

    The parser of its key reports the fault, so that it is reported once, with its key, and hides no other fault.
    """

    __slots__ = ()


def expand_all(value: Any, environ: Mapping[str, str], depth: int = _DEPTH) -> Any:
    """Fill in every string within a TOML value; keys are left as they are."""
    if isinstance(value, str):
        return expand(value, environ)
    if depth and isinstance(value, dict):
        return {key: expand_all(item, environ, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list):
        return [expand_all(item, environ, depth - 1) for item in value]
    return value


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Fill in one string; ``$${`` stands for a literal ``${``.

    As in a shell, ``:-`` takes the default for an empty variable too.

    Returns:
        A `str`; a `FromEnvironment` if the text is one reference; an `Unresolved` if it can't be filled in.
    """

    def value_of(reference: re.Match[str]) -> str:
        name, default = reference.groups()
        if reference[0] == "$${":
            return "${"
        if name is None:
            raise ValueError(f'{text} has a "${{" that is no reference; write ${{NAME}}, or $${{ to mean "${{"')
        value = environ.get(name)
        if default is not None and not value:
            return str(default)
        if value is None:
            raise ValueError(f"the environment variable {name} is not set; set it or write a default: ${{{name}:-...}}")
        if not value.isascii() and _has_surrogates(value):
            raise ValueError(f"the environment variable {name} is not valid UTF-8")
        return value

    try:
        expanded = _REFERENCE.sub(value_of, text)
    except ValueError as fault:
        return Unresolved(fault)
    whole = _REFERENCE.fullmatch(text)
    return FromEnvironment(expanded) if whole and whole[1] else expanded


def _has_surrogates(value: str) -> bool:
    """Whether the value has lone surrogates, which stand for bytes that are not UTF-8 (PEP 383)."""
    return any("\ud800" <= character <= "\udfff" for character in value)
