from __future__ import annotations

import trio
from trio.testing import MockClock

from splicer.discovery.health import Health


async def test_what_is_told(autojump_clock: MockClock) -> None:
    told: list[tuple[float, str]] = []

    def tell(word: str) -> None:
        told.append((trio.current_time(), word))

    health = Health(lambda: tell("synced"), tell)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(health.run)
        await trio.sleep(1)
        health.good()
        health.good()
        assert told == [(1, "synced")]
        health.failing("a")
        await trio.sleep(4)
        health.good()  # in time
        await trio.sleep(10)
        health.failing("a")  # at 15
        await trio.sleep(3)
        health.failing("b")
        await trio.sleep(10)
        assert told[1:] == [(20, "b")]
        health.lost("c")
        health.failing("d")
        await trio.sleep(10)
        assert told[2:] == []
        health.good()  # at 38
        health.lost("e")
        await trio.sleep(10)
        assert told[2:] == [(38, "synced"), (38, "e")]
        nursery.cancel_scope.cancel()


async def test_failures_that_alternate_with_successes_are_none(autojump_clock: MockClock) -> None:
    told: list[str] = []
    health = Health(lambda: None, told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(health.run)
        for _ in range(20):
            health.failing("x")
            await trio.sleep(3)
            health.good()
        assert told == []
        nursery.cancel_scope.cancel()
