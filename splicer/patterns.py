"""The protocols of what a route is written with: patterns that match, and templates that are filled in.

`routing` has the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Span = tuple[int, int]  # start and end in a path, as of a slice; (-1, -1): nowhere


class PathPattern(Protocol):
    """The compiled form of a route's `path`, `prefix` or `regex`."""

    @property
    def text(self) -> str:
        """The pattern as in a file, with its kind: ``prefix /api/``."""
        ...

    @property
    def captures(self) -> frozenset[str]:
        """The names that a match yields."""
        ...

    def match(self, path: str) -> Mapping[str, Span] | None:
        """The spans of the captures when the path, given in its normal form, matches; else None."""
        ...


class Template(Protocol):
    """Literal text with ``{captures}``."""

    @property
    def text(self) -> str:
        """The template as the file has it."""
        ...

    @property
    def captures(self) -> frozenset[str]:
        """The names of the captures in it."""
        ...

    def render(self, captures: Mapping[str, str]) -> str:
        """The text with the captures put in, unchanged."""
        ...
