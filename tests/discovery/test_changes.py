"""Lines about endpoints that come and go: few, and short."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from splicer.discovery.changes import Changes
from tests.upstream.snapshots import FIT, row

KEY = "voice/agent:8000"


class Lines:
    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        assert event == "endpoints_changed"
        self.all.append(fields)


def agents(*numbers: int, flags: int = FIT) -> list[Any]:
    return [row(f"agent-{n}", f"10.0.0.{n}", flags) for n in numbers]


async def changes(nursery: trio.Nursery) -> tuple[Changes, Lines]:
    lines = Lines()
    made = Changes(lines)  # type: ignore[arg-type]  # it has the one method
    nursery.start_soon(made.run)
    await trio.testing.wait_all_tasks_blocked()
    return made, lines


async def test_the_first_change_is_told_at_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    made, lines = await changes(nursery)
    made.note(KEY, agents(1, 2), agents(2, 3))
    await trio.testing.wait_all_tasks_blocked()
    assert lines.all == [{"service": KEY, "added": ["agent-3"], "removed": ["agent-1"], "ready": 2}]


async def test_further_ones_are_one_line_a_second(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    made, lines = await changes(nursery)
    made.note(KEY, [], agents(1))
    await trio.testing.wait_all_tasks_blocked()
    before = agents(1)
    for number in range(2, 30):
        after = [*before, *agents(number)]
        made.note(KEY, before, after)
        before = after
    made.note(KEY, before, before[1:])  # it came a second ago
    made.note("voice/other:1", [], agents(1))
    await trio.sleep(0.9)
    assert len(lines.all) == 1
    await trio.sleep(1)
    first, second = lines.all[1:]
    assert (first["added_count"], len(first["added"]), first["removed"], first["ready"]) == (28, 10, ["agent-1"], 28)
    assert second == {"service": "voice/other:1", "added": ["agent-1"], "removed": [], "ready": 1}


async def test_who_comes_and_goes_within_a_second_has_not_changed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    made, lines = await changes(nursery)
    made.note(KEY, [], agents(1))
    made.note(KEY, agents(1), [])
    await trio.sleep(2)
    assert lines.all == [{"service": KEY, "added": [], "removed": [], "ready": 0}]


async def test_who_becomes_ready_is_told_too_and_nothing_is_not(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    made, lines = await changes(nursery)
    made.note(KEY, agents(1), agents(1))
    await trio.sleep(2)
    assert lines.all == []
    made.note(KEY, agents(1, flags=0), agents(1))
    await trio.sleep(2)
    assert lines.all == [{"service": KEY, "added": [], "removed": [], "ready": 1}]
