"""TLS connections that go to a pod as they are: which, by the name that the client asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from splicer.model import Deadlines, Upstream
from splicer.routing.template import check_label

LABEL = "label"  # the capture that stands for the "*" of a name
_ANY = "*."


@frozen
class Passthrough:
    """One ``[[passthrough]]`` table.

    Args:
        names: in lower case; "*.SUFFIX" is any one label before the suffix.
        upstream: where the connections go; its host may have the capture `LABEL`.
        deadlines: for connecting, and for the tunnel.
    """

    names: tuple[str, ...]
    upstream: Upstream
    deadlines: Deadlines


@frozen
class PassthroughMatch:
    """What a name leads to: the table, its name as it stands there, and the captures for the upstream."""

    name: str
    to: Passthrough
    captures: Mapping[str, str]


class PassthroughTable:
    """All tables by name."""

    def __init__(self, tables: Iterable[Passthrough] = ()) -> None:
        by_name = {name: table for table in tables for name in table.names}
        self._exact = {name: table for name, table in by_name.items() if not name.startswith(_ANY)}
        self._below = {name.removeprefix(_ANY): table for name, table in by_name.items() if name.startswith(_ANY)}

    def match(self, name: str) -> PassthroughMatch | None:
        """The table for a name in lower case: one that has the name itself, else one with a "*"."""
        if (table := self._exact.get(name)) is not None:
            return PassthroughMatch(name, table, {})
        label, _, suffix = name.partition(".")
        if (table := self._below.get(suffix)) is None or not check_label(label):
            return None
        return PassthroughMatch(_ANY + suffix, table, {LABEL: label})


NO_PASSTHROUGH = PassthroughTable()
