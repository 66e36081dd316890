"""What outlives the other processes: drains, counts, and what they are told of each other."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.codec import to_object
from splicer.ipc.facts import EdgeFacts, OperatorDrains, Reloads
from splicer.ipc.messages import (
    Absent,
    DrainsFollowed,
    Facts,
    FollowDrains,
    Imported,
    IntroduceWorker,
    Prepare,
    Prepared,
    Ready,
    ServeAdmin,
    Serving,
    WantDrains,
)
from splicer.supervisor.metrics_dir import MetricsDirectory
from tests.supervisor.harness import ANY, KILLED, Far, Office, office, summary_of

NOTHING = OperatorDrains()
POD_3 = OperatorDrains(pods={"pod-3": 1700000000.5})
ROUTE = OperatorDrains(routes={"call": 1700000001.0})
_OK = 0  # a wait status


def _facts(admin: Far) -> EdgeFacts:
    """What it was told next, which must be these."""
    told, _ = admin.hear(Facts)
    return told.facts


def _workers(room: Office, count: int) -> list[Far]:
    """So many workers, all serving, that have heard nothing yet."""
    workers = [far for far in room.all if far.module == "splicer.worker"]
    assert len(workers) == count
    for worker in workers:
        for word in (Imported, Prepared, Serving):
            worker.send(word)
        worker.pending()
    return workers


@pytest.fixture
def staff(room: Office) -> tuple[Far, list[Far]]:
    """An admin process and two workers, all serving, that have heard nothing yet."""
    room.open(workers=2)
    workers, admin = _workers(room, 2), room.admin()
    for far in (admin, *workers):
        far.pending()
    return admin, workers


# ---- drains ----


def test_a_drain_is_kept_told_to_all_workers_and_a_fact_when_all_follow(
    room: Office, staff: tuple[Far, list[Far]]
) -> None:
    admin, workers = staff
    admin.send(WantDrains, drains=POD_3)
    assert room.edge.drains == POD_3
    for worker in workers:
        order, _ = worker.hear(FollowDrains)
        assert order.drains == POD_3
    workers[0].send(DrainsFollowed)
    assert admin.pending() == []
    assert room.said.of("drains") == []
    workers[1].send(DrainsFollowed)
    assert _facts(admin).drains == POD_3
    assert admin.pending() == []
    assert room.said.of("drains") == [
        {"level": "info", "drains": {"all": None, "pods": {"pod-3": 1700000000.5}, "routes": {}}}
    ]


def test_lifting_is_told_in_the_same_way(room: Office, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    for drains in (POD_3, NOTHING):
        admin.send(WantDrains, drains=drains)
        for worker in workers:
            assert worker.hear(FollowDrains)[0].drains == drains
            worker.send(DrainsFollowed)
        assert _facts(admin).drains == drains


def test_whoever_dies_is_not_waited_for(staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    admin.send(WantDrains, drains=POD_3)
    workers[0].send(DrainsFollowed)
    assert all(facts.drains == NOTHING for facts in _all_facts(admin))
    workers[1].die()
    assert _all_facts(admin)[-1].drains == POD_3


def test_without_a_worker_a_drain_is_a_fact_at_once(room: Office) -> None:
    room.open(workers=0)
    admin = room.admin()
    admin.pending()
    admin.send(WantDrains, drains=ROUTE)
    assert _facts(admin).drains == ROUTE


def test_those_who_come_later_are_told_when_they_prepare(room: Office, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    admin.send(WantDrains, drains=POD_3)
    workers[0].die()
    late = room.started("splicer.worker")
    assert late not in workers
    assert late.pending() == []
    late.send(Imported)
    assert late.hear(Prepare)[0].drains == POD_3
    late.send(Prepared)
    assert late.pending() == ["serve", "attend"]


def test_one_that_prepares_itself_is_told_too(room: Office, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    workers[0].die()
    late = room.started("splicer.worker")
    late.send(Imported)
    assert late.hear(Prepare)[0].drains == NOTHING
    admin.pending()
    admin.send(WantDrains, drains=POD_3)
    assert late.hear(FollowDrains)[0].drains == POD_3
    workers[1].send(DrainsFollowed)
    assert admin.pending() == []
    late.send(DrainsFollowed)
    assert admin.pending() == ["facts"]


def test_a_spare_follows_too(room: Office) -> None:
    room.open(workers=0, spares=1)
    admin = room.admin()
    spare = next(far for far in room.all if far.module == "splicer.worker")
    spare.send(Imported)
    spare.send(Prepared)
    spare.pending()
    admin.pending()
    admin.send(WantDrains, drains=POD_3)
    assert spare.hear(FollowDrains)[0].drains == POD_3
    assert admin.pending() == []
    spare.send(DrainsFollowed)
    assert _facts(admin).drains == POD_3


def test_a_drain_outlives_whoever_asked_for_it(room: Office, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    admin.send(WantDrains, drains=POD_3)
    admin.die()
    for worker in workers:
        worker.send(DrainsFollowed)
    another = room.started("splicer.admin")
    another.send(Ready)
    assert another.hear(ServeAdmin)[0].facts.drains == POD_3
    another.send(Serving)
    assert _facts(another).drains == POD_3


# An answer to the first question is none to the second.
def test_a_second_drain_is_a_fact_only_when_all_have_followed_that_one(
    room: Office, staff: tuple[Far, list[Far]]
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
    assert _facts(admin).drains == ROUTE
    assert [line["drains"]["routes"] for line in room.said.of("drains")] == [{"call": 1700000001.0}]


# A worker skips drains that it has not begun to follow when newer ones come.
def test_an_answer_to_the_newest_drains_is_one_to_all_before(room: Office, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    for drains in (POD_3, ROUTE):
        admin.send(WantDrains, drains=drains)
    for worker in workers:
        worker.send(DrainsFollowed)
    assert _facts(admin).drains == ROUTE
    assert not any(process.owed for process in room.edge.workers.all.values())


def _all_facts(admin: Far) -> list[EdgeFacts]:
    found: list[EdgeFacts] = []
    while True:
        try:
            message, _ = admin.next()
        except BlockingIOError:
            return found
        if isinstance(message, Facts):
            found.append(message.facts)


@pytest.mark.parametrize(
    "drains", [{}, {"drains": None}, {"drains": []}, {"drains": {"all": None, "pods": {}, "routes": ["call"]}}]
)
def test_what_is_no_drain_changes_nothing(room: Office, staff: tuple[Far, list[Far]], drains: dict[str, Any]) -> None:
    admin, workers = staff
    admin.send(WantDrains, **drains)
    assert room.edge.drains == NOTHING
    assert admin.pending() == workers[0].pending() == []
    [line] = room.said.of("process_unheard")
    assert line["error"].startswith("WantDrains")


def test_what_a_newer_process_says_is_ignored(room: Office, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    admin.send_raw({"version": 1, "kind": "tired", "drains": {}})
    admin.send(WantDrains, drains={**to_object(POD_3), "zones": ["a"]}, urgent=True)
    assert room.edge.drains == POD_3
    assert workers[0].pending() == ["drains"]
    assert room.said.of("process_unheard") == []


def test_a_drain_by_signal_is_a_fact_of_its_own(room: Office, staff: tuple[Far, list[Far]]) -> None:
    room.edge.draining = 1.0
    room.edge.admin_process.tell()
    facts = _facts(staff[0])
    assert (facts.draining, facts.drains) == (True, NOTHING)


# ---- restarts ----


def test_a_worker_that_dies_with_a_slot_is_a_restart_and_the_admin_process_hears_of_it(
    room: Office, staff: tuple[Far, list[Far]]
) -> None:
    admin, workers = staff
    workers[0].die(KILLED)
    assert room.edge.workers.restarts == 1
    late = room.started("splicer.worker")
    for word in (Imported, Prepared, Serving):
        late.send(word)
    told = _all_facts(admin)
    assert told, "it is not told"
    assert told[-1].restarts == 1


def test_the_next_admin_process_knows_of_earlier_restarts(room: Office, staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    workers[0].die(KILLED)
    workers[1].die(256)  # exit 1
    admin.die()
    another = room.started("splicer.admin")
    another.send(Ready)
    assert another.hear(ServeAdmin)[0].facts.restarts == 2


def test_a_spare_or_one_that_was_told_to_end_is_no_restart(room: Office) -> None:
    room.open(workers=1, spares=1)
    first, spare = (far for far in room.all if far.module == "splicer.worker")
    for word in (Imported, Prepared, Serving):
        first.send(word)
    spare.send(Imported)
    spare.send(Prepared)
    assert room.edge.workers.replace(1)
    first.die(_OK)
    room.all[-1].die(KILLED)  # another spare
    assert room.edge.workers.restarts == 0
    spare.die(KILLED)
    assert room.edge.workers.restarts == 1


# ---- reloads ----


@given(st.lists(st.booleans()))
def test_reloads_are_counted_by_how_they_went(outcomes: list[bool]) -> None:
    began = time.time()
    reloads = Reloads(last_at=began)
    for ok in outcomes:
        reloads = reloads.after(ok=ok)
    assert (reloads.ok, reloads.failed) == (outcomes.count(True), outcomes.count(False))
    assert reloads.last_ok is ([True, *outcomes][-1])
    assert reloads.last_at is not None
    assert reloads.last_at >= began


def test_how_they_went_is_a_fact(room: Office, staff: tuple[Far, list[Far]]) -> None:
    room.edge.reloads = Reloads(ok=3, failed=1, last_ok=False, last_at=5.0)
    room.edge.generation = 4
    room.edge.admin_process.tell()
    facts = _facts(staff[0])
    assert facts.reloads == Reloads(ok=3, failed=1, last_ok=False, last_at=5.0)
    assert (facts.generation, facts.workers) == (4, 2)


# ---- listeners ----


def test_an_address_for_the_scraper_that_is_taken_is_a_fault(room: Office) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fault = f"127.0.0.1:{port}: Address already in use; another process listens there"
        assert room.edge.bind(summary_of(metrics=("127.0.0.1", port))) == [f"routing.toml: server.metrics: {fault}"]
        assert room.edge.bind(summary_of(admin=("127.0.0.1", port))) == [f"routing.toml: server.admin: {fault}"]
        assert room.edge.bind_more(summary_of(metrics=("127.0.0.1", port))) == [
            f"routing.toml: server.metrics: {fault}"
        ]


def test_an_upgrade_may_bring_an_address_for_the_scraper(room: Office) -> None:
    room.open(workers=0)
    assert room.edge.listeners["metrics"].names == []
    assert room.edge.bind_more(summary_of(metrics=ANY)) == []
    assert len(room.edge.listeners["metrics"].names) == 1


@pytest.mark.parametrize("key", ["admin", "metrics"])
def test_one_that_can_not_be_had_leaves_all_listeners_as_they_were(room: Office, key: str) -> None:
    room.open(workers=0)
    edge = room.edge
    before = {name: listeners.names for name, listeners in edge.listeners.items()}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        more = {"listen": [ANY, ("127.0.0.2", 0)], key: taken.getsockname()}
        assert len(edge.bind_more(summary_of(**more))) == 1
    assert {name: listeners.names for name, listeners in edge.listeners.items()} == before


# ---- where all count ----


def test_workers_and_the_admin_process_count_in_one_directory_that_goes_at_the_end(tmp_path: Path) -> None:
    counts = MetricsDirectory.make([str(tmp_path)])
    assert counts is not None
    with office(counts=counts) as room:
        room.open(workers=1)
        assert [far.arguments.metrics for far in room.all] == [counts.path] * 2
        assert Path(counts.path).is_dir()
        room.edge.finish(0)
        assert not Path(counts.path).exists()
        room.edge.finish(1)
        assert room.edge.code == 1


def test_without_a_directory_each_counts_for_itself(room: Office) -> None:
    room.open(workers=1)
    assert [far.arguments.metrics for far in room.all] == [None] * 2


def test_a_worker_whose_channel_is_lost_gets_another(staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    admin.pending()
    admin.send(Absent, slots=[7])
    assert admin.pending() == []
    admin.send(Absent, slots=[2])
    assert admin.hear(IntroduceWorker)[0].slot == 2
    assert admin.pending() == []
    assert len([word for one in workers for word in one.pending() if word == "attend"]) == 1
