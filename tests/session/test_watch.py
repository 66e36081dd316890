"""The watch over clients whose pods are at work."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from splicer.session.watch import ClientWatch
from tests.session.watching import watch_clients


class Someone:
    def __init__(self, waiting: set[Someone]) -> None:
        self.gone = False
        self.given_up = 0
        self._waiting = waiting

    def client_left(self) -> bool:
        return self.gone

    def give_up(self) -> None:
        self.given_up += 1
        self._waiting.discard(self)


async def test_who_has_left_is_given_up_soon_and_nobody_else(autojump_clock: MockClock) -> None:
    waiting: set[Someone] = set()
    stays, leaves, late = (Someone(waiting) for _ in range(3))
    waiting |= {stays, leaves}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_clients, waiting)
        await trio.sleep(1.1)
        assert leaves.given_up == 0
        leaves.gone = True
        await trio.sleep(1)
        waiting.add(late)
        late.gone = True
        await trio.sleep(1)
        assert (stays.given_up, leaves.given_up, late.given_up) == (0, 1, 1)
        nursery.cancel_scope.cancel()


class Steps(trio.abc.Instrument):
    """How often somebody was looked at in each step of the watch."""

    def __init__(self) -> None:
        self.looks = [0]

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.looks.append(0)


async def test_many_are_looked_at_in_slices(autojump_clock: MockClock) -> None:
    steps = Steps()
    waiting: set[Someone] = set()

    class Seen(Someone):
        def client_left(self) -> bool:
            assert self in waiting, "its connection may be closed"
            steps.looks[-1] += 1
            waiting.discard(ends.pop())  # another exchange is over meanwhile
            return super().client_left()

    everybody: list[Someone] = [Seen(waiting) for _ in range(10_000)]
    ends, gone = everybody[300:], everybody[:300]
    for someone in gone:
        someone.gone = True
    waiting |= set(everybody)
    trio.lowlevel.add_instrument(steps)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_clients, waiting)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    trio.lowlevel.remove_instrument(steps)
    assert sum(steps.looks) > 5000
    assert max(steps.looks) < 100
    assert all(someone.given_up == 1 for someone in gone)


async def test_who_has_closed_its_half_gets_a_quick_answer(autojump_clock: MockClock) -> None:
    waiting: set[Someone] = set()
    asks = Someone(waiting)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_clients, waiting)
        for _ in range(50):  # whenever the watch looks
            waiting.add(asks)
            asks.gone = True
            await trio.sleep(0.2)
            waiting.discard(asks)
            asks.gone = False
            await trio.sleep(0.31)
        assert asks.given_up == 0
        nursery.cancel_scope.cancel()


async def test_nobody_is_woken_while_nobody_waits(autojump_clock: MockClock) -> None:
    waiting: set[Someone] = set()
    watch = ClientWatch(waiting)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        watch.look_soon()
        await trio.sleep(1)
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == float("inf")
        gone = Someone(waiting)
        gone.gone = True
        waiting.add(gone)
        watch.look_soon()
        await trio.sleep(0.6)
        assert gone.given_up == 1
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == float("inf")
        nursery.cancel_scope.cancel()
