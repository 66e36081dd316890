"""Which workers the supervisor is asked for again."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from splicer.ipc.absent_workers import ask_for_absent
from splicer.ipc.messages import Absent


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([set(), set(), set()], []),
        ([{1}, set(), {1}, set()], []),
        ([{1}, {2}, {1, 2}], []),
        ([{2, 1}, {1, 2}], [(2.0, Absent((1, 2)))]),
        ([{1}, {1}, {1}, set(), {1}], [(2.0, Absent((1,))), (3.0, Absent((1,)))]),
    ],
)
async def test_those_that_two_looks_have_missed(
    looks: list[set[int]], told: list[tuple[float, Absent]], autojump_clock: MockClock
) -> None:
    begun, seen = trio.current_time(), iter(looks)
    found: list[tuple[float, Absent]] = []
    with trio.move_on_after(len(looks) + 0.5):
        await ask_for_absent(lambda: next(seen), lambda report: found.append((trio.current_time() - begun, report)))
    assert found == told
