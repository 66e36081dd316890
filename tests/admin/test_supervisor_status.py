"""What waits for the supervisor's facts, and what they say of drains."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.admin.supervisor_status import SupervisorStatus
from splicer.ipc.facts import EdgeFacts, OperatorDrains


async def test_everybody_who_waits_looks_at_each_news(nursery: trio.Nursery) -> None:
    status, met = SupervisorStatus(), []

    async def until(generation: int) -> None:
        await status.until(lambda: status.now.generation >= generation)
        met.append(generation)

    for wanted in (1, 2, 2, 4):
        nursery.start_soon(until, wanted)
    for generation, expected in ((0, []), (1, [1]), (2, [1, 2, 2]), (3, [1, 2, 2]), (4, [1, 2, 2, 4])):
        status.learn(EdgeFacts(generation=generation))
        await wait_all_tasks_blocked()
        assert sorted(met) == expected


async def test_what_is_true_already_is_not_waited_for() -> None:
    status = SupervisorStatus()
    with trio.fail_after(0):
        await status.until(lambda: True)


@pytest.mark.parametrize(
    ("facts", "drained"),
    [
        (EdgeFacts(), False),
        (EdgeFacts(draining=True), True),
        (EdgeFacts(drains=OperatorDrains(all=0.0)), True),
        (EdgeFacts(drains=OperatorDrains(pods={"pod-1": 1.0}, routes={"call": 1.0})), False),
    ],
)
def test_the_edge_is_drained_by_a_signal_or_by_an_operator(facts: EdgeFacts, drained: bool) -> None:
    status = SupervisorStatus()
    assert not status.draining
    status.learn(facts)
    assert (status.draining, status.drains) == (drained, facts.drains)
