"""What a route is written with: patterns and conditions that match, templates that are filled in, and so on.

`routing` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

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

    @property
    def clear(self) -> frozenset[str]:
        """The captures that have a label of the host to themselves."""
        ...

    def captured(self, host: str) -> Mapping[str, str]:
        """What `render` has put into a host name for the `clear` captures; none if the name doesn't fit."""
        ...


@frozen
class Condition:
    """One test of a request's header field or query parameter, besides the pattern of its path.

    Args:
        name: of a field in lower case, or of a parameter, decoded.
        kind: "is", "prefix", "regex", "present" or "absent".
        text: what the value is compared with, as the file has it; "" if only presence counts.
        holds: whether the values with that name pass; `routing.conditions` makes it.
    """

    name: str
    kind: str
    text: str
    holds: Callable[[Sequence[bytes]], bool] = field(eq=False, repr=False)


@frozen
class HashOn:
    """The part of a request by which a split chooses.

    Args:
        source: "client", "header", "query", "cookie" or "capture".
        name: of the header (in lower case), parameter, cookie or capture; "" for "client".
    """

    source: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.name}" if self.name else self.source
