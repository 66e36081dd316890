"""One piece of work at a time, and of those that wait only the newest."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.worker.newest import NewestOnly

_WORK_SECONDS = 1.0  # seconds that a piece takes


class Office:
    """Who does it: what was done and when, what was dropped, and how often it was finished."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.done: list[tuple[int, float]] = []
        self.dropped: list[int] = []
        self.finished: list[float] = []
        self.running = 0
        self.newest = NewestOnly[int](nursery.start_soon, self._do, self._finish, self.dropped.append)

    async def _do(self, work: int) -> None:
        self.running += 1
        assert self.running == 1, "one at a time"
        await trio.sleep(_WORK_SECONDS)
        self.running -= 1
        self.done.append((work, trio.current_time()))

    def _finish(self) -> None:
        self.finished.append(trio.current_time())


@pytest.fixture
def office(nursery: trio.Nursery) -> Office:
    return Office(nursery)


async def test_what_waits_is_dropped_for_something_newer(office: Office, autojump_clock: MockClock) -> None:
    for work in (1, 2, 3):
        office.newest.ask(work)
        await trio.sleep(0.1)
    await trio.sleep(10)
    assert [work for work, _ in office.done] == [1, 3]
    assert office.dropped == [2]
    assert len(office.finished) == 1


async def test_what_comes_before_the_first_has_begun_replaces_it(office: Office, autojump_clock: MockClock) -> None:
    office.newest.ask(1)
    office.newest.ask(2)
    await trio.sleep(10)
    assert ([work for work, _ in office.done], office.dropped) == ([2], [1])


async def test_it_begins_again_when_it_has_finished(office: Office, autojump_clock: MockClock) -> None:
    for work in (1, 2):
        office.newest.ask(work)
        await trio.sleep(10)
    assert ([work for work, _ in office.done], office.dropped) == ([1, 2], [])
    assert len(office.finished) == 2


@given(pauses=st.lists(st.floats(0, 3), min_size=1, max_size=12))
def test_the_newest_is_always_done_last_and_nothing_is_overtaken(pauses: list[float]) -> None:
    trio.run(_ask_after, pauses, clock=MockClock(autojump_threshold=0))


async def _ask_after(pauses: list[float]) -> None:
    async with trio.open_nursery() as nursery:
        office = Office(nursery)
        for work, pause in enumerate(pauses):
            await trio.sleep(pause)
            office.newest.ask(work)
    done = [work for work, _ in office.done]
    assert done[-1] == len(pauses) - 1
    assert sorted([*done, *office.dropped]) == list(range(len(pauses)))
    assert all(one < other for one, other in pairwise(done))
    assert office.finished[-1] == office.done[-1][1]
