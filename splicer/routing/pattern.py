"""What a route's `path`, `prefix` or `regex` compiles to: it looks at normal forms alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import re2
from attrs import field, frozen

from splicer.model import PathPattern, Span
from splicer.routing.literal import leading_literal, repeated_names
from splicer.routing.normal import normal_form

_NO_CAPTURES: Mapping[str, Span] = MappingProxyType({})

_QUIET = re2.Options()
_QUIET.log_errors = False  # RE2 would print to stderr what we raise


@frozen
class ExactPath:
    """The whole path; `path` is in normal form."""

    path: str

    @property
    def text(self) -> str:
        """In normal form, with its kind."""
        return f"path {self.path}"

    @property
    def captures(self) -> frozenset[str]:
        """None: only a regex captures."""
        return frozenset()

    def match(self, path: str) -> Mapping[str, Span] | None:
        """No captures when the path is this one, else None."""
        return _NO_CAPTURES if path == self.path else None


@frozen
class PrefixPath:
    """What the path starts with; `prefix` is in normal form."""

    prefix: str

    @property
    def text(self) -> str:
        """In normal form, with its kind."""
        return f"prefix {self.prefix}"

    @property
    def captures(self) -> frozenset[str]:
        """None: only a regex captures."""
        return frozenset()

    def match(self, path: str) -> Mapping[str, Span] | None:
        """No captures when the path starts so, else None."""
        return _NO_CAPTURES if path.startswith(self.prefix) else None


@frozen
class RegexPath:
    """An RE2 expression, searched for as nginx does: anchored only where it says "^" or "$".

    Args:
        regex: the expression as the file has it.
        literal: what a matching path starts with; told at compile time, for a call of RE2 costs microseconds.
    """

    regex: str
    literal: str = field(eq=False)
    _compiled: Any = field(eq=False, repr=False)  # re2 ships no types
    _groups: tuple[tuple[str, int], ...] = field(eq=False, repr=False)

    @property
    def text(self) -> str:
        """As the file has it, with its kind."""
        return f"regex {self.regex}"

    @property
    def captures(self) -> frozenset[str]:
        """The names of its groups."""
        return frozenset(name for name, _ in self._groups)

    def match(self, path: str) -> Mapping[str, Span] | None:
        """Where each group is, (-1, -1) if it took no part, when the expression is found in the path, else None."""
        if not path.startswith(self.literal):
            return None
        found = self._compiled.search(path.encode())  # bytes are searched three times as fast as str
        if found is None:
            return None
        return {name: found.span(group) for name, group in self._groups}


def compile_pattern(kind: Literal["path", "prefix", "regex"], text: str) -> PathPattern:
    """Compile what a route's `path`, `prefix` or `regex` key says.

    Args:
        kind: the key.
        text: its value, in any spelling; for "regex" in RE2 syntax (https://github.com/google/re2/wiki/Syntax).

    Raises:
        ValueError: RE2 refuses the expression, with its own text; or two groups have the same name.
    """
    if kind == "path":
        return ExactPath(normal_form(text))
    if kind == "prefix":
        return PrefixPath(normal_form(text))
    if repeated := repeated_names(text):
        raise ValueError(f"two groups are named {repeated[0]}")
    try:
        compiled = re2.compile(text, _QUIET)
    except re2.error as error:
        raise ValueError(error.args[0].decode(errors="replace")) from None
    return RegexPath(text, leading_literal(text), compiled, tuple(compiled.groupindex.items()))


def leading_text(pattern: PathPattern) -> str:
    """What every path that the pattern matches starts with; "" when unknown."""
    match pattern:
        case ExactPath(path):
            return path
        case PrefixPath(prefix):
            return prefix
        case RegexPath(literal=literal):
            return literal
        case _:
            return ""
