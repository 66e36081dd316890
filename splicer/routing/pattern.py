"""The compiled patterns of a route's `path`, `prefix` or `regex`; they match paths in normal form only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import re2
from attrs import field, frozen

from splicer.patterns import PathPattern, Span
from splicer.routing.literal import leading_literal, repeated_names
from splicer.routing.normal import normal_form

_NO_CAPTURES: Mapping[str, Span] = MappingProxyType({})
_NOWHERE: Span = (-1, -1)
_UNANCHORED = re2._Anchor.UNANCHORED

_QUIET = re2.Options()
_QUIET.log_errors = False  # RE2 would also print to stderr the errors that it raises


@frozen
class ExactPath:
    """Matches one whole path; `path` is in normal form."""

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
    """Matches paths that start with a prefix; `prefix` is in normal form."""

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
        """No captures when the path starts with the prefix, else None."""
        return _NO_CAPTURES if path.startswith(self.prefix) else None


@frozen
class RegexPath:
    """An RE2 expression, searched for as in nginx: it is anchored only by "^" or "$".

    Args:
        regex: the expression as the file has it.
        literal: the text that every matching path starts with; it is checked first, because a call of RE2 takes
            microseconds.
    """

    regex: str
    literal: str = field(eq=False)
    _match: Any = field(eq=False, repr=False)  # re2 ships no types
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
        """The span of each group, (-1, -1) if it took no part in the match; None if the expression is not found."""
        if not path.startswith(self.literal):
            return None
        text = path.encode()  # bytes are searched three times as fast as str
        spans = self._match(_UNANCHORED, text, 0, len(text))
        return None if spans[0] == _NOWHERE else {name: spans[group] for name, group in self._groups}


def compile_pattern(kind: Literal["path", "prefix", "regex"], text: str) -> PathPattern:
    """Compile a route's `path`, `prefix` or `regex`.

    Args:
        kind: the key.
        text: its value, in any spelling; for "regex" in RE2 syntax (https://github.com/google/re2/wiki/Syntax).

    Raises:
        ValueError: RE2 refuses the expression (the message is RE2's), or two groups have the same name.
    """
    if kind == "path":
        return ExactPath(normal_form(text))
    if kind == "prefix":
        return PrefixPath(normal_form(text))
    if repeated := repeated_names(text):
        raise ValueError(f"two groups are named {repeated[0]}")
    compiled = compile_regex(text)
    # What `search` calls: it, its generator and its match object take twice as long as RE2 itself.
    match = compiled._regexp.Match
    return RegexPath(text, leading_literal(text), match, tuple(compiled.groupindex.items()))


def compile_regex(text: str) -> Any:
    """A compiled RE2 expression, whose `search` takes bytes.

    Raises:
        ValueError: RE2 refuses the expression (the message is RE2's).
    """
    try:
        return re2.compile(text, _QUIET)
    except re2.error as error:
        raise ValueError(error.args[0].decode(errors="replace")) from None


def leading_text(pattern: PathPattern) -> str:
    """The text that every path matched by the pattern starts with; "" when unknown."""
    match pattern:
        case ExactPath(path):
            return path
        case PrefixPath(prefix):
            return prefix
        case RegexPath(literal=literal):
            return literal
        case _:
            return ""
