"""Drains of the supervisor and of operators: which of them hold, and when it is said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.ipc.facts import OperatorDrains
from splicer.worker.draining import LAST_REQUEST_TIMEOUT, Draining

_FOLLOW_SECONDS = 1.0


class Owner:
    """A worker's side."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.ended_within: list[float] = []
        self.followed: list[str] = []
        self.told: list[str] = []
        self.error: Exception | None = None
        idle = SimpleNamespace(end_within=self._end_within)
        self.context = SimpleNamespace(draining=False, idle=idle)
        self.draining = Draining(
            cast("Any", self.context),
            cast("Any", SimpleNamespace(follow=self._follow)),
            nursery.start_soon,
            lambda: self.told.append("done"),
            lambda error: self.told.append(repr(error)),
        )

    async def _end_within(self, seconds: float) -> None:
        self.ended_within.append(seconds)

    async def _follow(self, wanted: OperatorDrains) -> None:
        await trio.sleep(_FOLLOW_SECONDS)
        if self.error is not None:
            raise self.error
        self.followed += wanted.pods


@pytest.fixture
def owner(nursery: trio.Nursery) -> Owner:
    return Owner(nursery)


def _wanted(pod: str, *, everything: bool = False) -> OperatorDrains:
    return OperatorDrains(all=1.0 if everything else None, pods={pod: 1.0})


async def test_a_drained_edge_lets_no_connection_idle_for_long(owner: Owner) -> None:
    await owner.draining.set_edge(draining=False)
    assert (owner.context.draining, owner.ended_within) == (False, [])
    await owner.draining.set_edge(draining=True)
    assert (owner.context.draining, owner.ended_within) == (True, [LAST_REQUEST_TIMEOUT])


# Neither of the two may end what the other one has begun.
@pytest.mark.parametrize("by_supervisor", [False, True])
@pytest.mark.parametrize("by_operator", [False, True])
async def test_the_edge_is_drained_while_anybody_wants_it(
    owner: Owner, autojump_clock: MockClock, by_supervisor: bool, by_operator: bool
) -> None:
    await owner.draining.follow(_wanted("one", everything=True))
    await owner.draining.set_edge(draining=True)
    await owner.draining.set_edge(draining=by_supervisor)
    await owner.draining.follow(_wanted("two", everything=by_operator))
    assert owner.context.draining is (by_supervisor or by_operator)


async def test_new_work_is_refused_at_once_though_an_order_takes_its_time(
    owner: Owner, autojump_clock: MockClock
) -> None:
    owner.draining.ask(_wanted("one", everything=True))
    await wait_all_tasks_blocked()
    assert owner.context.draining
    assert owner.told == []
    await trio.sleep(10)
    assert owner.told == ["done"]


async def test_of_orders_that_wait_the_newest_is_followed(owner: Owner, autojump_clock: MockClock) -> None:
    for name in ("one", "two", "three"):
        owner.draining.ask(_wanted(name))
        await trio.sleep(0.1)
    await trio.sleep(10)
    assert (owner.followed, owner.told) == (["one", "three"], ["done"])


# Every worker that will ever start gets the same order.
async def test_an_order_that_can_not_be_followed_ends_no_worker(owner: Owner, autojump_clock: MockClock) -> None:
    owner.error = ZeroDivisionError("a bug")
    owner.draining.ask(_wanted("one"))
    await trio.sleep(10)
    assert owner.told == ["ZeroDivisionError('a bug')", "done"]
    owner.error = None
    owner.draining.ask(_wanted("two"))
    await trio.sleep(10)
    assert (owner.followed, owner.told[2:]) == (["two"], ["done"])
