"""Drains outlive the processes that want and follow them."""

from __future__ import annotations

from typing import Any

import pytest

from splicer.ipc.codec import to_object
from splicer.ipc.facts import OperatorDrains
from splicer.ipc.messages import (
    DrainsFollowed,
    FollowDrains,
    Imported,
    Prepare,
    Prepared,
    Ready,
    ServeAdmin,
    Serving,
    WantDrains,
)
from tests.supervisor.harness import Far, SupervisorHarness, all_facts_of, facts_of

NOTHING = OperatorDrains()
POD_3 = OperatorDrains(pods={"pod-3": 1700000000.5})
ROUTE = OperatorDrains(routes={"call": 1700000001.0})


def test_a_drain_is_kept_told_to_all_workers_and_a_fact_when_all_follow(
    harness: SupervisorHarness, staff: tuple[Far, list[Far]]
) -> None:
    admin, workers = staff
    admin.send(WantDrains, drains=POD_3)
    assert harness.edge.drains == POD_3
    for worker in workers:
        order, _ = worker.hear(FollowDrains)
        assert order.drains == POD_3
    workers[0].send(DrainsFollowed)
    assert admin.pending() == []
    assert harness.said.of("drains") == []
    workers[1].send(DrainsFollowed)
    assert facts_of(admin).drains == POD_3
    assert admin.pending() == []
    assert harness.said.of("drains") == [
        {"level": "info", "drains": {"all": None, "pods": {"pod-3": 1700000000.5}, "routes": {}}}
    ]


def test_lifting_is_told_in_the_same_way(harness: SupervisorHarness, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    for drains in (POD_3, NOTHING):
        admin.send(WantDrains, drains=drains)
        for worker in workers:
            assert worker.hear(FollowDrains)[0].drains == drains
            worker.send(DrainsFollowed)
        assert facts_of(admin).drains == drains


def test_whoever_dies_is_not_waited_for(staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    admin.send(WantDrains, drains=POD_3)
    workers[0].send(DrainsFollowed)
    assert all(facts.drains == NOTHING for facts in all_facts_of(admin))
    workers[1].die()
    assert all_facts_of(admin)[-1].drains == POD_3


def test_without_a_worker_a_drain_is_a_fact_at_once(harness: SupervisorHarness) -> None:
    harness.open(workers=0)
    admin = harness.admin()
    admin.pending()
    admin.send(WantDrains, drains=ROUTE)
    assert facts_of(admin).drains == ROUTE


def test_those_who_come_later_are_told_when_they_prepare(
    harness: SupervisorHarness, staff: tuple[Far, list[Far]]
) -> None:
    admin, workers = staff
    admin.send(WantDrains, drains=POD_3)
    workers[0].die()
    late = harness.started("splicer.worker")
    assert late not in workers
    assert late.pending() == []
    late.send(Imported)
    assert late.hear(Prepare)[0].drains == POD_3
    late.send(Prepared)
    assert late.pending() == ["serve", "attend"]


def test_one_that_prepares_itself_is_told_too(harness: SupervisorHarness, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    workers[0].die()
    late = harness.started("splicer.worker")
    late.send(Imported)
    assert late.hear(Prepare)[0].drains == NOTHING
    admin.pending()
    admin.send(WantDrains, drains=POD_3)
    assert late.hear(FollowDrains)[0].drains == POD_3
    workers[1].send(DrainsFollowed)
    assert admin.pending() == []
    late.send(DrainsFollowed)
    assert admin.pending() == ["facts"]


def test_a_spare_follows_too(harness: SupervisorHarness) -> None:
    harness.open(workers=0, spares=1)
    admin = harness.admin()
    spare = next(far for far in harness.all if far.module == "splicer.worker")
    spare.send(Imported)
    spare.send(Prepared)
    spare.pending()
    admin.pending()
    admin.send(WantDrains, drains=POD_3)
    assert spare.hear(FollowDrains)[0].drains == POD_3
    assert admin.pending() == []
    spare.send(DrainsFollowed)
    assert facts_of(admin).drains == POD_3


def test_a_drain_outlives_whoever_asked_for_it(harness: SupervisorHarness, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    admin.send(WantDrains, drains=POD_3)
    admin.die()
    for worker in workers:
        worker.send(DrainsFollowed)
    another = harness.started("splicer.admin")
    another.send(Ready)
    assert another.hear(ServeAdmin)[0].facts.drains == POD_3
    another.send(Serving)
    assert facts_of(another).drains == POD_3


# An answer to the first question is none to the second.
def test_a_second_drain_is_a_fact_only_when_all_have_followed_that_one(
    harness: SupervisorHarness, staff: tuple[Far, list[Far]]
) -> None:
    admin, workers = staff
    admin.send(WantDrains, drains=POD_3)
    admin.send(WantDrains, drains=ROUTE)
    for worker in workers:
        first = worker.hear(FollowDrains)[0].request
        assert worker.hear(FollowDrains)[0].request > first
        worker.send(DrainsFollowed, request=first)
    assert admin.pending() == []
    for worker in workers:
        worker.send(DrainsFollowed)
    assert facts_of(admin).drains == ROUTE
    assert [line["drains"]["routes"] for line in harness.said.of("drains")] == [{"call": 1700000001.0}]


# A worker skips drains that it has not begun to follow when newer ones come.
def test_an_answer_to_the_newest_drains_is_one_to_all_before(
    harness: SupervisorHarness, staff: tuple[Far, list[Far]]
) -> None:
    admin, workers = staff
    for drains in (POD_3, ROUTE):
        admin.send(WantDrains, drains=drains)
    for worker in workers:
        worker.send(DrainsFollowed)
    assert facts_of(admin).drains == ROUTE
    assert not any(process.owed for process in harness.edge.workers.all.values())


@pytest.mark.parametrize(
    "drains", [{}, {"drains": None}, {"drains": []}, {"drains": {"all": None, "pods": {}, "routes": ["call"]}}]
)
def test_what_is_no_drain_changes_nothing(
    harness: SupervisorHarness, staff: tuple[Far, list[Far]], drains: dict[str, Any]
) -> None:
    admin, workers = staff
    admin.send(WantDrains, **drains)
    assert harness.edge.drains == NOTHING
    assert admin.pending() == workers[0].pending() == []
    [line] = harness.said.of("process_unheard")
    assert line["error"].startswith("WantDrains")


def test_what_a_newer_process_says_is_ignored(harness: SupervisorHarness, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    admin.send_raw({"version": 1, "kind": "tired", "drains": {}})
    admin.send(WantDrains, drains={**to_object(POD_3), "zones": ["a"]}, urgent=True)
    assert harness.edge.drains == POD_3
    assert workers[0].pending() == ["drains"]
    assert harness.said.of("process_unheard") == []


def test_a_drain_by_signal_is_a_fact_of_its_own(harness: SupervisorHarness, staff: tuple[Far, list[Far]]) -> None:
    harness.edge.draining = 1.0
    harness.edge.admin_process.tell()
    facts = facts_of(staff[0])
    assert (facts.draining, facts.drains) == (True, NOTHING)
