"""Lines that strangers can cause."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.observe.scarce import Scarce


async def test_twenty_are_written_and_the_next_window_says_how_many_were_not(mock_clock: MockClock) -> None:
    scarce = Scarce()
    assert [scarce.take() for _ in range(25)] == [0] * 20 + [None] * 5
    mock_clock.jump(9.9)
    assert scarce.take() is None
    mock_clock.jump(0.1)
    assert [scarce.take() for _ in range(21)] == [6] + [0] * 19 + [None]


async def _told(gaps: list[int]) -> list[int | None]:
    scarce, told = Scarce(), list[int | None]()
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    for gap in gaps:
        clock.jump(gap)
        told.append(scarce.take())
    return told


@given(st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 12]), max_size=120))
def test_none_is_lost_from_the_count_and_no_ten_seconds_have_many(gaps: list[int]) -> None:
    told = trio.run(_told, gaps, clock=MockClock())
    pending = 0
    for before in told:
        if before is None:
            pending += 1
        else:
            assert before == pending
            pending = 0
    times, now = [], 0
    for gap, before in zip(gaps, told, strict=True):
        now += gap
        if before is not None:
            times.append(now)
    assert all(sum(begin <= at < begin + 10 for at in times) <= 40 for begin in times)
