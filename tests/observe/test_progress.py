"""Lines about long tunnels: once an interval, from the tunnel's own beginning, whoever has it and whatever changes."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import MockClock

from splicer.observe.progress import Progress
from splicer.record import Record
from splicer.relay.api import TunnelView
from tests.observe.still import StillRelay, StillTunnel, record, still

_LATE = 0.1  # of the interval


class Telling:
    """Notes who is told of, and when; the clock jumps, so nothing is early."""

    def __init__(self, relay: StillRelay) -> None:
        self.relay = relay
        self.progress = Progress(relay)
        self.told: list[tuple[int, float]] = []

    def tell(self, tunnel: TunnelView[Record]) -> None:
        record = tunnel.owner
        self.told.append((int(record.id, 16), round(trio.current_time() - record.started, 3)))

    def add(self, number: int, age: float = 0.0) -> StillTunnel:
        one = still(record(number, started=trio.current_time() - age))
        self.relay.shown.append(one)
        return one

    async def ages(self, seconds: float) -> list[tuple[int, float]]:
        """Who is told of within the next seconds, and how old its tunnel is then."""
        self.told.clear()
        await trio.sleep(seconds)
        return list(self.told)


@pytest.fixture
async def telling(nursery: trio.Nursery, autojump_clock: MockClock) -> Telling:
    telling = Telling(StillRelay())
    nursery.start_soon(telling.progress.run)
    await trio.sleep(0.001)
    return telling


async def test_a_tunnel_is_told_of_once_an_interval(telling: Telling, autojump_clock: MockClock) -> None:
    telling.progress.every(10.0, telling.tell)
    telling.add(1)
    told = await telling.ages(59)
    assert [number for number, _ in told] == [1] * 5
    for count, (_, age) in enumerate(told, 1):
        assert count * 10 <= age <= (count + _LATE) * 10


async def test_each_tunnel_has_its_own_rhythm(telling: Telling, autojump_clock: MockClock) -> None:
    telling.progress.every(10.0, telling.tell)
    telling.add(1)
    await trio.sleep(5.5)
    telling.add(2)
    told = await telling.ages(26)
    assert [number for number, _ in told] == [1, 2, 1, 2, 1]
    assert all(age % 10 <= 1 for _, age in told)


async def test_an_adopted_tunnel_keeps_its_rhythm_and_has_no_line_at_once(
    telling: Telling, autojump_clock: MockClock
) -> None:
    telling.progress.every(10.0, telling.tell)
    telling.add(1, age=3605.5)
    told = await telling.ages(16)
    assert [(number, age // 1) for number, age in told] == [(1, 3610), (1, 3620)]


async def test_nothing_is_told_before_somebody_wants_it(telling: Telling, autojump_clock: MockClock) -> None:
    telling.add(1)
    assert await telling.ages(10_000) == []


async def test_off_is_off_until_it_is_on_again(telling: Telling, autojump_clock: MockClock) -> None:
    telling.progress.every(10.0, telling.tell)
    telling.add(1)
    assert len(await telling.ages(25)) == 2
    telling.progress.every(math.inf, telling.tell)
    assert await telling.ages(10_000) == []
    telling.progress.every(10.0, telling.tell)
    told = await telling.ages(20.9)
    assert len(told) == 2, "what was missed is not made up for"
    assert all(age % 10 <= 1 for _, age in told)


@pytest.mark.parametrize(("before", "after"), [(100.0, 1.0), (1.0, 100.0)])
async def test_an_interval_may_change_at_any_time_and_tells_nobody_at_once(
    telling: Telling, autojump_clock: MockClock, before: float, after: float
) -> None:
    telling.progress.every(before, telling.tell)
    telling.add(1)
    await trio.sleep(250.55)
    telling.progress.every(after, telling.tell)
    told = await telling.ages(after * 2.9)
    assert len(told) in (2, 3)
    beginnings = [age // after * after for _, age in told]
    assert beginnings == [beginnings[0] + number * after for number in range(len(told))]
    assert all(age % after <= max(after * _LATE, 0.1) for _, age in told)


async def test_a_shorter_interval_is_not_slept_through(telling: Telling, autojump_clock: MockClock) -> None:
    telling.progress.every(86_400.0, telling.tell)
    telling.add(1)
    await trio.sleep(1)
    telling.progress.every(0.5, telling.tell)
    assert len(await telling.ages(2.2)) == 4


async def test_the_same_interval_anew_changes_nothing_but_who_is_told(
    telling: Telling, autojump_clock: MockClock
) -> None:
    telling.progress.every(10.0, telling.tell)
    telling.add(1)
    others: list[TunnelView[Record]] = []
    await trio.sleep(9.95)
    telling.progress.every(10.0, others.append)
    assert await telling.ages(1.2) == []
    assert others == telling.relay.shown


async def test_what_is_over_is_not_told_of(telling: Telling, autojump_clock: MockClock) -> None:
    telling.progress.every(10.0, telling.tell)
    telling.add(1).alive = False
    gone = telling.add(3)
    telling.add(4)
    await trio.sleep(5)
    telling.relay.shown.remove(gone)
    assert [number for number, _ in await telling.ages(6)] == [4]
    assert len(telling.progress._told) == 1, "and nothing is kept of it"


# Other tasks have their turn while many tunnels are looked at: a reload may come in the middle.
async def test_an_interval_that_changes_in_the_middle_of_a_look_tells_nobody_at_once(
    telling: Telling, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    looking = trio.Event()
    looked_at: list[int] = []

    async def reload() -> None:
        await looking.wait()
        looked_at.append(len(telling.progress._told))
        telling.progress.every(1.0, telling.tell)

    def tell(tunnel: TunnelView[Record]) -> None:
        telling.tell(tunnel)
        looking.set()

    telling.add(0, age=1092)
    for number in range(1, 600):
        telling.add(number, age=1020)
    telling.progress.every(100.0, tell)
    nursery.start_soon(reload)
    assert await telling.ages(10.5) == [(0, 1102)]
    [count] = looked_at
    assert 0 < count < 600, "the reload came in the middle"
