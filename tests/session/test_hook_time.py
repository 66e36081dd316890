"""How long foreign code keeps the event loop to itself is measured, whatever it does."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import thread_time

import pytest
import trio

from splicer.session.hook_time import BLOCKING_SECONDS, Timed, measured


def burn(seconds: float) -> None:
    end = thread_time() + seconds
    while thread_time() < end:
        pass


async def test_the_longest_step_counts_and_not_the_waits() -> None:
    async def hook() -> str:
        burn(0.004)
        await trio.sleep(1)
        burn(0.02)
        await trio.lowlevel.checkpoint()
        return "done"

    timed = Timed(hook)
    assert await timed == "done"
    assert 0.02 <= timed.longest < 0.5


async def test_code_that_only_waits_takes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async def hook() -> None:
        await trio.sleep(100)

    timed = Timed(hook)
    await timed
    assert timed.longest < BLOCKING_SECONDS * 50


async def test_what_is_raised_passes_through_and_was_measured() -> None:
    async def hook() -> None:
        await trio.lowlevel.checkpoint()
        burn(0.01)
        raise ValueError("x")

    timed = Timed(hook)
    with pytest.raises(ValueError, match="x"):
        await timed
    assert timed.longest >= 0.01


async def test_cancellation_reaches_the_code() -> None:
    seen = []

    async def hook() -> None:
        try:
            await trio.sleep_forever()
        finally:
            seen.append("cancelled")

    with trio.move_on_after(1) as scope:
        await Timed(hook)
    assert (scope.cancelled_caught, seen) == (True, ["cancelled"])


async def test_no_reference_cycle_is_left() -> None:
    async def hook() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("x")

    async def once() -> None:
        with suppress(ValueError):
            await Timed(hook)
        with trio.move_on_after(1):
            await Timed(trio.sleep_forever)

    await once()
    gc.collect()
    await once()
    assert gc.collect() == 0


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: None, None),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: exit(3), "SystemExit: 3"),
    ],
)
def test_plain_calls(call: Callable[[], object], reason: str | None) -> None:
    assert measured(call)[0] == reason


def test_a_call_that_takes_long() -> None:
    assert measured(lambda: burn(0.01))[1] >= 0.01


def test_what_is_no_awaitable_is_an_error() -> None:
    begin: Callable[[], Awaitable[None]] = lambda: 3  # type: ignore[assignment,return-value]  # noqa: E731 - foreign code

    async def main() -> None:
        with pytest.raises(AttributeError):
            await Timed(begin)

    trio.run(main)
