"""Probes: how many at once, how long, and what becomes of what they find."""

from __future__ import annotations

from typing import cast

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from splicer.errors import ConnectFailed, ConnectRefused, NoDescriptor, SplicerError
from splicer.model import Endpoint
from splicer.net.dial import InTime
from splicer.net.stream import ByteStream
from splicer.upstream.probes import Probes
from splicer.upstream.reachability import SECONDS, Reachability

PODS = [Endpoint("any-pod", f"10.0.0.{number}", 8000) for number in range(1, 8)]


@define
class Ground:
    """Where the pods are; who has no fate drops every packet."""

    fates: dict[Endpoint, SplicerError | None] = field(factory=dict)  # None: it accepts
    dialled: list[tuple[float, Endpoint]] = field(factory=list)
    under_way: int = 0
    most: int = 0
    closed: int = 0

    async def dial(self, endpoint: Endpoint, _: InTime) -> ByteStream:
        self.dialled.append((trio.current_time(), endpoint))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if endpoint not in self.fates:
                await trio.sleep_forever()
            if (fate := self.fates[endpoint]) is not None:
                raise type(fate)(*fate.args)
        finally:
            self.under_way -= 1
        return cast("ByteStream", self)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def ground() -> Ground:
    return Ground()


@pytest.fixture
def known(ground: Ground, nursery: trio.Nursery) -> Reachability:
    known = Reachability(trio.current_time)
    nursery.start_soon(Probes(known, ground.dial).run)
    return known


async def test_three_at_once_and_a_quarter_of_a_second_for_each(
    autojump_clock: MockClock, ground: Ground, known: Reachability
) -> None:
    await trio.testing.wait_all_tasks_blocked()
    known.silent(PODS[0])
    known.survey(PODS)
    await trio.sleep(5)
    assert [when for when, _ in ground.dialled] == [0, 0, 0, 0.25, 0.25, 0.25]
    assert {pod for _, pod in ground.dialled} == set(PODS[1:])
    assert (ground.most, len(known)) == (3, 7)


async def test_a_connection_is_closed_and_the_endpoint_is_well(
    autojump_clock: MockClock, ground: Ground, known: Reachability
) -> None:
    ground.fates[PODS[0]] = None
    known.failed(PODS[0])
    await trio.sleep(SECONDS)
    known.order(PODS)
    await trio.sleep(0.1)
    assert (ground.closed, known.order(PODS)) == (1, PODS)


@pytest.mark.parametrize("failure", [ConnectRefused("no"), ConnectFailed("no")])
async def test_who_refuses_is_asked_again_in_ten_seconds(
    autojump_clock: MockClock, ground: Ground, known: Reachability, failure: SplicerError
) -> None:
    ground.fates[PODS[0]] = failure
    known.failed(PODS[0])
    for _ in range(30):
        await trio.sleep(1)
        known.order(PODS)
    assert [when for when, _ in ground.dialled][:2] == [10, 20]
    assert len(ground.dialled) <= 3
    assert known.order(PODS)[-1] == PODS[0]


async def test_without_a_descriptor_nothing_is_probed(
    autojump_clock: MockClock, ground: Ground, known: Reachability
) -> None:
    ground.fates = dict.fromkeys(PODS, NoDescriptor("EMFILE"))
    known.silent(PODS[0])
    known.survey(PODS)
    await trio.sleep(5)
    assert len(ground.dialled) <= 3
    ground.fates = dict.fromkeys(PODS)
    await trio.sleep(SECONDS)
    known.order(PODS)
    await trio.sleep(1)
    assert known.order(PODS) == PODS
