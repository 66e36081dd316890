"""However many have work at once, a round of the loop stays short, and each kind of work has turns of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.session.turns import Turns, Work

STEP_SECONDS = 0.002  # seconds: three steps are more than a round's share
AT_ONCE = 3 + 16  # that begin in one round, at most: at once, and by turns


@pytest.fixture
async def turns(nursery: trio.Nursery) -> Turns:
    turns = Turns()
    nursery.start_soon(turns.run)
    await wait_all_tasks_blocked()
    return turns


def worker(turns: Turns, work: Work, done: list[Any], name: object) -> Callable[[], Coroutine[Any, Any, None]]:
    async def step() -> None:
        if turns.busy(work):
            await turns.wait(work)
        time.sleep(STEP_SECONDS)  # noqa: ASYNC251 - a step that takes its time is what this is about
        done.append(name)

    return step


async def rounds_of(turns: Turns, *steps: Callable[[], Coroutine[Any, Any, None]], done: list[Any]) -> list[int]:
    """How many were done when somebody else had a turn: once a round, anywhere in it."""
    seen = [0]

    async def look() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            seen.append(len(done))

    async with trio.open_nursery() as looking:
        looking.start_soon(look)
        async with trio.open_nursery() as nursery:
            for step in steps:
                nursery.start_soon(step)
        looking.cancel_scope.cancel()
    return seen


async def test_a_round_has_room_for_few(turns: Turns) -> None:
    done: list[int] = []
    seen = await rounds_of(turns, *(worker(turns, Work.REQUEST, done, n) for n in range(100)), done=done)
    assert len(done) == 100
    assert max(later - before for before, later in pairwise(seen)) <= 2 * AT_ONCE


async def test_without_turns_all_are_done_in_one_round() -> None:
    turns = Turns()
    done: list[int] = []
    seen = await rounds_of(turns, *(worker(turns, Work.REQUEST, done, n) for n in range(100)), done=done)
    assert len(set(seen) - {0, 100}) <= 1


async def test_who_came_first_is_served_first(turns: Turns) -> None:
    """But for the order within a round, which is Trio's."""
    waited: list[int] = []
    served: list[int] = []

    async def step(number: int) -> None:
        time.sleep(STEP_SECONDS)  # noqa: ASYNC251 - as above
        if turns.busy(Work.REQUEST):
            waited.append(number)
            await turns.wait(Work.REQUEST)
            served.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(step, number)
    assert len(waited) > 40
    assert sorted(served) == sorted(waited)
    assert all(abs(served.index(number) - waited.index(number)) < 16 for number in waited)


@pytest.mark.parametrize("work", [Work.PROBE, Work.REQUEST, Work.BODY])
async def test_no_kind_of_work_waits_for_another(turns: Turns, work: Work) -> None:
    done: list[str] = []
    flood = [worker(turns, Work.LARGE, done, "large") for _ in range(200)]
    await rounds_of(turns, *flood, worker(turns, work, done, "one"), done=done)
    assert done.index("one") < 3 * AT_ONCE


async def test_who_is_cancelled_takes_nobody_s_turn(turns: Turns) -> None:
    done: list[int] = []
    async with trio.open_nursery() as nursery:
        time.sleep(2 * STEP_SECONDS)  # noqa: ASYNC251 - as above
        for number in range(50):
            nursery.start_soon(worker(turns, Work.REQUEST, done, number))
        time.sleep(3 * STEP_SECONDS)  # noqa: ASYNC251 - as above: the round's share is over, all will wait
        with trio.CancelScope() as scope:
            scope.cancel()
            await turns.wait(Work.REQUEST)
    assert sorted(done) == list(range(50))


@pytest.mark.parametrize("work", Work)
async def test_nobody_waits_in_a_quiet_loop(turns: Turns, work: Work) -> None:
    with trio.fail_after(10):
        while turns.busy(work):  # this process may be the one that is kept waiting, now and then
            await trio.lowlevel.checkpoint()


async def test_those_who_come_again_and_again_stay_in_turn(turns: Turns) -> None:
    """Turns are given as long as anybody waits, and begin anew after a pause."""
    done: list[int] = []
    for _ in range(3):
        await rounds_of(turns, *(worker(turns, Work.BODY, done, n) for n in range(30)), done=done)
        await trio.sleep(0.01)
    assert sorted(done) == sorted([*range(30)] * 3)
