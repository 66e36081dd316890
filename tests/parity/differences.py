"""The differences that are declared, and which of them occur."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from attrs import define, field, frozen

_FILE = Path(__file__).parent / "differences.toml"


@frozen
class Difference:
    """A field in which the two proxies may differ for some requests; see `differences.toml`."""

    name: str
    proxy: str
    field: str
    request: str
    theirs: str
    ours: str
    reason: str

    def covers(self, proxy: str, request: str, key: str, theirs: str, ours: str) -> bool:
        return (
            proxy == self.proxy
            and re.fullmatch(self.field, key) is not None
            and re.search(self.request, request) is not None
            and re.fullmatch(self.theirs, theirs, re.DOTALL) is not None
            and re.fullmatch(self.ours, ours, re.DOTALL) is not None
        )


def declared() -> list[Difference]:
    tables = tomllib.loads(_FILE.read_text())
    return [
        Difference(
            name, each["proxy"], each["field"], each.get("request", ""), each["theirs"], each["ours"], each["reason"]
        )
        for name, each in tables.items()
    ]


@define
class Ledger:
    """Which declared differences have occurred, over all tests of a session."""

    declared: list[Difference] = field(factory=declared)
    seen: set[str] = field(factory=set)

    def undeclared(
        self, proxy: str, request: str, theirs: Mapping[str, str], ours: Mapping[str, str]
    ) -> list[tuple[str, str]]:
        """The differences of one request that no entry covers, each with an example; those covered count as seen."""
        found = []
        for key in dict.fromkeys((*theirs, *ours)):
            one, other = theirs.get(key, ""), ours.get(key, "")
            if one == other:
                continue
            covering = [each.name for each in self.declared if each.covers(proxy, request, key, one, other)]
            self.seen.update(covering)
            if not covering:
                found.append((f"{key}: {one!r} there, {other!r} here", request))
        return found
