"""However many scrape, and however often: it is computed once a second."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.admin.shared import Shared


class Computation:
    """One that takes half a second."""

    def __init__(self) -> None:
        self.times = 0
        self.broken = False

    async def __call__(self) -> bytes:
        self.times += 1
        number = self.times
        await trio.sleep(0.5)
        if self.broken:
            raise ZeroDivisionError
        return b"%d" % number


async def test_who_asks_meanwhile_gets_the_same(autojump_clock: MockClock) -> None:
    computation = Computation()
    shared = Shared(computation)
    answers: list[bytes] = []

    async def ask(after: float) -> None:
        await trio.sleep(after)
        answers.append(await shared())

    async with trio.open_nursery() as nursery:
        for after in (0, 0, 0.1, 0.4, 0.6, 1.4):
            nursery.start_soon(ask, after)
    assert (answers, computation.times) == ([b"1"] * 6, 1)


async def test_after_a_second_it_is_computed_anew(autojump_clock: MockClock) -> None:
    shared = Shared(Computation())
    assert await shared() == b"1"
    await trio.sleep(0.9)
    assert await shared() == b"1"
    await trio.sleep(0.1)
    assert await shared() == b"2"


async def test_a_failure_is_not_shared(autojump_clock: MockClock) -> None:
    computation = Computation()
    computation.broken = True
    shared = Shared(computation)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await shared()
    computation.broken = False
    assert await shared() == b"3"


async def test_who_is_cancelled_leaves_it_to_the_next(autojump_clock: MockClock) -> None:
    computation = Computation()
    shared = Shared(computation)
    answers: list[bytes] = []

    async def ask() -> None:
        answers.append(await shared())

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.2):
            nursery.start_soon(ask)
            await shared()
        await wait_all_tasks_blocked()
    assert answers in ([b"1"], [b"2"])  # whoever was first
