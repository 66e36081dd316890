"""What outlives the other processes: counts, listeners, and what they are told of each other."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.facts import Reloads
from splicer.ipc.messages import Absent, Imported, IntroduceWorker, Prepared, Ready, ServeAdmin, Serving
from splicer.supervisor.metrics_dir import MetricsDirectory
from tests.supervisor.harness import (
    ANY,
    KILLED,
    Far,
    SupervisorHarness,
    all_facts_of,
    facts_of,
    summary_of,
    supervisor_harness,
)

_OK = 0  # a wait status


# ---- restarts ----


def test_a_worker_that_dies_with_a_slot_is_a_restart_and_the_admin_process_hears_of_it(
    harness: SupervisorHarness, staff: tuple[Far, list[Far]]
) -> None:
    admin, workers = staff
    workers[0].die(KILLED)
    assert harness.edge.workers.restarts == 1
    late = harness.started("splicer.worker")
    for word in (Imported, Prepared, Serving):
        late.send(word)
    told = all_facts_of(admin)
    assert told, "it is not told"
    assert told[-1].restarts == 1


def test_the_next_admin_process_knows_of_earlier_restarts(
    harness: SupervisorHarness, staff: tuple[Far, list[Far]]
) -> None:
    admin, workers = staff
    workers[0].die(KILLED)
    workers[1].die(256)  # exit 1
    admin.die()
    another = harness.started("splicer.admin")
    another.send(Ready)
    assert another.hear(ServeAdmin)[0].facts.restarts == 2


def test_a_spare_or_one_that_was_told_to_end_is_no_restart(harness: SupervisorHarness) -> None:
    harness.open(workers=1, spares=1)
    first, spare = (far for far in harness.all if far.module == "splicer.worker")
    for word in (Imported, Prepared, Serving):
        first.send(word)
    spare.send(Imported)
    spare.send(Prepared)
    assert harness.edge.workers.replace(1)
    first.die(_OK)
    harness.all[-1].die(KILLED)  # another spare
    assert harness.edge.workers.restarts == 0
    spare.die(KILLED)
    assert harness.edge.workers.restarts == 1


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


def test_how_they_went_is_a_fact(harness: SupervisorHarness, staff: tuple[Far, list[Far]]) -> None:
    harness.edge.reloads = Reloads(ok=3, failed=1, last_ok=False, last_at=5.0)
    harness.edge.generation = 4
    harness.edge.admin_process.tell()
    facts = facts_of(staff[0])
    assert facts.reloads == Reloads(ok=3, failed=1, last_ok=False, last_at=5.0)
    assert (facts.generation, facts.workers) == (4, 2)


# ---- listeners ----


def test_an_address_for_the_scraper_that_is_taken_is_a_fault(harness: SupervisorHarness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fault = f"127.0.0.1:{port}: Address already in use; another process listens there"
        assert harness.edge.bind(summary_of(metrics=("127.0.0.1", port))) == [f"routing.toml: server.metrics: {fault}"]
        assert harness.edge.bind(summary_of(admin=("127.0.0.1", port))) == [f"routing.toml: server.admin: {fault}"]
        assert harness.edge.bind_more(summary_of(metrics=("127.0.0.1", port))) == [
            f"routing.toml: server.metrics: {fault}"
        ]


def test_an_upgrade_may_bring_an_address_for_the_scraper(harness: SupervisorHarness) -> None:
    harness.open(workers=0)
    assert harness.edge.listeners["metrics"].names == []
    assert harness.edge.bind_more(summary_of(metrics=ANY)) == []
    assert len(harness.edge.listeners["metrics"].names) == 1


@pytest.mark.parametrize("key", ["admin", "metrics"])
def test_one_that_can_not_be_had_leaves_all_listeners_as_they_were(harness: SupervisorHarness, key: str) -> None:
    harness.open(workers=0)
    edge = harness.edge
    before = {name: listeners.names for name, listeners in edge.listeners.items()}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        more = {"listen": [ANY, ("127.0.0.2", 0)], key: taken.getsockname()}
        assert len(edge.bind_more(summary_of(**more))) == 1
    assert {name: listeners.names for name, listeners in edge.listeners.items()} == before


# ---- where all count ----


def test_workers_and_the_admin_process_count_in_one_directory_that_goes_at_the_end(tmp_path: Path) -> None:
    counts = MetricsDirectory.make([str(tmp_path)])
    assert counts is not None
    with supervisor_harness(counts=counts) as harness:
        harness.open(workers=1)
        assert [far.arguments.metrics for far in harness.all] == [counts.path] * 2
        assert Path(counts.path).is_dir()
        harness.edge.finish(0)
        assert not Path(counts.path).exists()
        harness.edge.finish(1)
        assert harness.edge.code == 1


def test_without_a_directory_each_counts_for_itself(harness: SupervisorHarness) -> None:
    harness.open(workers=1)
    assert [far.arguments.metrics for far in harness.all] == [None] * 2


def test_a_worker_whose_channel_is_lost_gets_another(staff: tuple[Far, list[Far]]) -> None:
    admin, workers = staff
    admin.pending()
    admin.send(Absent, slots=[7])
    assert admin.pending() == []
    admin.send(Absent, slots=[2])
    assert admin.hear(IntroduceWorker)[0].slot == 2
    assert admin.pending() == []
    assert len([word for one in workers for word in one.pending() if word == "attend"]) == 1
