"""Name servers that are a function, for a resolver in virtual time."""

from __future__ import annotations

from collections.abc import Mapping

import trio
import trio.testing
from attrs import define, field, frozen

from splicer.errors import ResolveFailed
from splicer.net.dns_names import RdataType
from splicer.net.dns_query import Records
from splicer.net.resolve import Answer

POD = "pod-0.example"
LIFETIME = 2.0
MAX_TTL = 10.0
GONE = Records((), 30.0, exists=False)
MOMENT = 0.01


@frozen
class Options:
    nameservers: tuple[tuple[str, int], ...] = (("127.0.0.1", 9),)
    max_ttl: float = MAX_TTL
    ipv6: bool = False
    hosts: Mapping[str, tuple[str, ...]] = field(factory=dict)


@define
class Servers:
    """Answer every question with `outcome` after `delay` seconds."""

    outcome: Records | Exception = GONE
    delay: float = 0.0
    asked: int = 0

    async def ask(self, name: str, kind: RdataType) -> Records:
        self.asked += 1
        await trio.sleep(self.delay)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def set(self, *addresses: str, ttl: float = 5.0) -> None:
        self.outcome = Records(addresses, ttl)

    def fail(self, delay: float = 0.0) -> None:
        self.outcome = ResolveFailed("down")
        self.delay = delay


def fresh(address: str) -> Answer:
    return Answer((address,), fresh=True)


def old(address: str) -> Answer:
    return Answer((address,), fresh=False)
