"""Waits under one scope: each ends at its own deadline, whatever the deadlines before it were."""

from __future__ import annotations

import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.net.waits import Timers, Waits


@pytest.fixture
async def timers(autojump_clock: MockClock, nursery: trio.Nursery) -> Timers:
    timers = Timers()
    nursery.start_soon(timers.run)
    await wait_all_tasks_blocked()
    return timers


def soon(waits: Waits, seconds: float) -> Waits:
    now = trio.current_time()
    return waits.until(now + seconds, now)


async def takes(waits: Waits, limit: float, seconds: float = math.inf) -> float:
    """How long a wait lasted that would have taken `seconds`."""
    began = trio.current_time()
    with soon(waits, limit):
        await trio.sleep(seconds)
    assert waits.cancelled_caught is (limit < seconds)
    return trio.current_time() - began


@pytest.mark.parametrize("runs", [True, False])
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=8))
def test_each_wait_ends_at_its_own_deadline(runs: bool, plan: list[tuple[int, int]]) -> None:
    async def main() -> None:
        timers = Timers()
        async with trio.open_nursery() as nursery:
            if runs:
                nursery.start_soon(timers.run)
                await wait_all_tasks_blocked()
            waits = Waits(timers)
            for limit, needed in plan:
                if limit != needed:
                    assert await takes(waits, limit, needed) == min(limit, needed)
            waits.close()
            await trio.sleep(100)
            assert len(timers) == 0
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_waits_in_time_share_a_scope_and_one_entry(autojump_clock: MockClock, timers: Timers) -> None:
    waits = Waits(timers)
    for limit in (75, 10, 75, 10, 75, 10):
        await takes(waits, limit, 1)
    assert len(timers) == 2, "an entry for 75 s, and an earlier one"
    waits.close()


async def test_between_two_waits_nothing_ends_the_task(autojump_clock: MockClock, timers: Timers) -> None:
    waits = Waits(timers)
    await takes(waits, 2, 1)
    await trio.sleep(10)
    waits.cancel()
    waits.close()
    await trio.sleep(1)


@pytest.mark.parametrize("runs", [True, False])
async def test_a_deadline_may_be_moved_by_anybody(autojump_clock: MockClock, nursery: trio.Nursery, runs: bool) -> None:
    timers = Timers()
    if runs:
        nursery.start_soon(timers.run)
        await wait_all_tasks_blocked()
    waits, ended = Waits(timers), []

    async def wait(seconds: float) -> None:
        ended.append(await takes(waits, seconds))
        waits.close()

    for begin, later, end in ((10, 3.0, 3.0), (2, 7.0, 7.0), (5, -math.inf, 1.0), (2, 1.0, 1.0)):
        nursery.start_soon(wait, begin)
        began = trio.current_time()
        await trio.sleep(1)
        waits.deadline = began + later
        assert waits.deadline == began + later
        await trio.sleep(20)
        assert ended.pop() == end


async def test_a_wait_may_be_ended_early_and_the_next_one_waits_again(
    autojump_clock: MockClock, timers: Timers, nursery: trio.Nursery
) -> None:
    waits = Waits(timers)

    async def end() -> None:
        await trio.sleep(1)
        waits.cancel()

    nursery.start_soon(end)
    assert await takes(waits, 5) == 1
    assert await takes(waits, 5, 2) == 2
    waits.close()


async def test_an_end_that_comes_too_late_ends_no_other_wait(autojump_clock: MockClock, timers: Timers) -> None:
    waits = Waits(timers)
    with soon(waits, 5):
        waits.cancel()
    assert not waits.cancelled_caught, "nothing was waited for any more"
    assert await takes(waits, 5, 2) == 2
    waits.close()


async def test_an_outer_scope_ends_a_wait_as_any_other(autojump_clock: MockClock, timers: Timers) -> None:
    waits = Waits(timers)
    with trio.move_on_after(3) as outer:
        try:
            with soon(waits, 5):
                await trio.sleep_forever()
        finally:
            waits.close()
    assert outer.cancelled_caught
    assert not waits.cancelled_caught


async def test_an_error_passes(autojump_clock: MockClock, timers: Timers) -> None:
    waits = Waits(timers)
    with pytest.raises(ZeroDivisionError), soon(waits, 5):
        raise ZeroDivisionError
    assert await takes(waits, 2) == 2
    waits.close()


async def test_waits_outlive_their_timers(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    timers, scope = Timers(), trio.CancelScope()

    async def run() -> None:
        with scope:
            await timers.run()

    nursery.start_soon(run)
    await wait_all_tasks_blocked()
    one, other = Waits(timers), Waits(timers)
    await takes(other, 5, 1)

    async def stop() -> None:
        await trio.sleep(1)
        scope.cancel()

    nursery.start_soon(stop)
    assert await takes(one, 5) == 5
    assert await takes(one, 5) == 5
    assert await takes(other, 4) == 4
    one.close()
    other.close()


async def test_closed_waits_do_not_pile_up(autojump_clock: MockClock, timers: Timers) -> None:
    for _ in range(10_000):
        waits = Waits(timers)
        with soon(waits, 3600):
            pass
        waits.close()
    assert len(timers) < 3000


async def test_many_waits_end_in_the_order_of_their_deadlines(
    autojump_clock: MockClock, timers: Timers, nursery: trio.Nursery
) -> None:
    ended: list[int] = []

    async def wait(seconds: int) -> None:
        waits = Waits(timers)
        await takes(waits, 100, 0)
        await takes(waits, seconds)
        ended.append(seconds)
        waits.close()

    for seconds in (5, 3, 9, 1, 7):
        nursery.start_soon(wait, seconds)
    await trio.sleep(20)
    assert ended == [1, 3, 5, 7, 9]


# A hundred calls have begun, each with deadlines of its own; their frames should not pay for these for half a minute.
async def test_waits_that_are_over_wake_nobody(
    autojump_clock: MockClock, timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[float] = []
    expire = timers._expire

    def wake(now: float) -> None:
        woken.append(now)
        expire(now)

    monkeypatch.setattr(timers, "_expire", wake)
    for number in range(100):
        waits = Waits(timers)
        await takes(waits, 10 + number, 0.01)
        waits.close()
    await trio.sleep(300)
    assert len(woken) <= 1
    assert len(timers) == 0
