"""The clock of a worker's Trio run."""

from __future__ import annotations

from time import monotonic

import trio

from splicer.worker.clock import MonotonicClock


def test_it_is_the_machines_and_trio_sleeps_by_it() -> None:
    async def main() -> None:
        assert monotonic() <= trio.current_time() <= monotonic()
        due = monotonic() + 0.02
        await trio.sleep_until(due)
        assert due <= monotonic()
        with trio.move_on_after(0.02) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught

    clock = MonotonicClock()
    assert 0 < clock.deadline_to_sleep_time(monotonic() + 1) <= 1  # else the sleep might have no end
    trio.run(main, clock=clock)
