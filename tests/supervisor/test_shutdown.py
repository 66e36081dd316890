"""The ways to end, with workers that nobody has started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from splicer.ipc.board import Column
from splicer.ipc.messages import Draining, Prepare, Serve
from splicer.supervisor import shutdown
from splicer.supervisor.shutdown import Shutdown
from splicer.vault.protocol import channel
from tests.supervisor.harness import Far, SupervisorHarness
from tests.vault.rig import Talker, Tunnel

_ROUNDS = 30  # of the supervisor's loop


@pytest.fixture
def worker(harness: SupervisorHarness) -> Far:
    """The only one; it serves."""
    harness.open(workers=1)
    worker = harness.worker()
    worker.pending()
    return worker


@pytest.fixture
def its_vault(harness: SupervisorHarness) -> Iterator[Talker]:
    """The worker's connection to the vault."""
    ours, its = channel()
    harness.vault.holder.attach(ours)
    talker = Talker(its)
    talker.hello()
    harness.turn()
    yield talker
    talker.close()


@pytest.fixture
def tunnel() -> Iterator[Tunnel]:
    made = Tunnel(2)
    yield made
    made.close()


def _drain(harness: SupervisorHarness, worker: Far) -> None:
    Shutdown(harness.edge).drain()
    assert worker.pending() == ["drain"]
    worker.send(Draining)


def _rounds(harness: SupervisorHarness) -> None:
    for _ in range(_ROUNDS):
        harness.turn()


def test_a_drain_ends_when_nothing_is_under_way(harness: SupervisorHarness, worker: Far) -> None:
    _drain(harness, worker)
    _rounds(harness)
    assert harness.said.of("drain") == [{"level": "info", "tunnels": 0, "exchanges": 0, "seconds": 3600.0}]
    assert harness.edge.stopping
    assert worker.pending() == ["stop"]


@pytest.mark.parametrize("column", [Column.TUNNELS, Column.EXCHANGES])
def test_a_drain_waits_for_what_is_under_way(harness: SupervisorHarness, worker: Far, column: Column) -> None:
    row = harness.edge.board.row(worker.arguments.place.row)
    row[column] = 1
    _drain(harness, worker)
    _rounds(harness)
    assert not harness.edge.stopping
    row[column] = 0
    _rounds(harness)
    assert harness.edge.stopping


@pytest.mark.parametrize("column", [Column.READING, Column.IDLE])
def test_a_drain_waits_for_the_last_request_of_a_client_and_not_for_ever(
    harness: SupervisorHarness, worker: Far, monkeypatch: pytest.MonkeyPatch, column: Column
) -> None:
    row = harness.edge.board.row(worker.arguments.place.row)
    row[column] = 1
    _drain(harness, worker)
    _rounds(harness)
    assert not harness.edge.stopping
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 5.3)
    _rounds(harness)
    assert not harness.edge.stopping, "a worker gives it five seconds"
    monkeypatch.setattr(time, "monotonic", lambda: now + 6.0)
    _rounds(harness)
    assert harness.edge.stopping


def test_a_worker_dies_at_a_drain_before_the_vault_has_heard_of_its_tunnel(
    harness: SupervisorHarness, worker: Far, its_vault: Talker, tunnel: Tunnel
) -> None:
    harness.edge.board.row(worker.arguments.place.row)[Column.TUNNELS] = 1
    _drain(harness, worker)
    its_vault.tunnel(tunnel)
    its_vault.close()
    worker.die()
    _rounds(harness)
    assert harness.vault.tunnels == 1
    assert not harness.edge.stopping


def test_a_drain_before_the_file_has_been_read_begins_when_it_has(harness: SupervisorHarness) -> None:
    Shutdown(harness.edge).drain()
    _rounds(harness)
    assert not harness.edge.stopping
    harness.open(workers=1)
    worker = harness.worker()
    assert harness.edge.draining is not None
    worker.hear(Prepare)
    assert worker.hear(Serve)[0].draining
    assert harness.said.of("drain")
    _rounds(harness)
    assert harness.edge.stopping


def test_a_drain_does_not_wait_for_ever_for_a_file_that_is_never_read(
    harness: SupervisorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    Shutdown(harness.edge).drain()
    harness.turn()
    assert not harness.edge.stopping
    monkeypatch.setattr(shutdown, "_READ_TIMEOUT", -1.0)
    harness.turn()
    assert harness.edge.stopping


def test_a_second_drain_before_the_file_has_been_read_stops(harness: SupervisorHarness) -> None:
    ends = Shutdown(harness.edge)
    ends.drain()
    ends.drain()
    assert harness.edge.stopping
    _rounds(harness)
    assert harness.said.of("stopped")


def test_a_second_drain_stops(harness: SupervisorHarness, worker: Far) -> None:
    harness.edge.board.row(worker.arguments.place.row)[Column.TUNNELS] = 1
    ends = Shutdown(harness.edge)
    ends.drain()
    ends.drain()
    assert harness.edge.stopping
    assert worker.pending() == ["drain", "stop"]


def test_what_outlives_the_drains_time_is_expired(harness: SupervisorHarness, worker: Far) -> None:
    assert harness.edge.summary is not None
    harness.edge.summary = replace(harness.edge.summary, drain=0.0)
    harness.edge.board.row(worker.arguments.place.row)[Column.TUNNELS] = 1
    _drain(harness, worker)
    assert harness.said.of("drain_expired") == [{"level": "warning", "tunnels": 1, "exchanges": 0}]
    assert worker.pending() == ["expire"]


def test_a_handover_without_a_vault_of_its_own_is_refused(harness: SupervisorHarness, worker: Far) -> None:
    Shutdown(harness.edge).hand_over()
    assert "--vault" in harness.said.of("handover_refused")[0]["reason"]
    assert worker.pending() == []
