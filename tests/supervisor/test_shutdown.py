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
from tests.supervisor.harness import Far, Office
from tests.vault.rig import Talker, Tunnel

_ROUNDS = 30  # of the supervisor's loop


@pytest.fixture
def worker(room: Office) -> Far:
    """The only one; it serves."""
    room.open(workers=1)
    worker = room.worker()
    worker.pending()
    return worker


@pytest.fixture
def its_vault(room: Office) -> Iterator[Talker]:
    """The worker's connection to the vault."""
    ours, its = channel()
    room.vault.holder.attach(ours)
    talker = Talker(its)
    talker.hello()
    room.turn()
    yield talker
    talker.close()


@pytest.fixture
def tunnel() -> Iterator[Tunnel]:
    made = Tunnel(2)
    yield made
    made.close()


def _drain(room: Office, worker: Far) -> None:
    Shutdown(room.edge).drain()
    assert worker.pending() == ["drain"]
    worker.send(Draining)


def _rounds(room: Office) -> None:
    for _ in range(_ROUNDS):
        room.turn()


def test_a_drain_ends_when_nothing_is_under_way(room: Office, worker: Far) -> None:
    _drain(room, worker)
    _rounds(room)
    assert room.said.of("drain") == [{"level": "info", "tunnels": 0, "exchanges": 0, "seconds": 3600.0}]
    assert room.edge.stopping
    assert worker.pending() == ["stop"]


@pytest.mark.parametrize("column", [Column.TUNNELS, Column.EXCHANGES])
def test_a_drain_waits_for_what_is_under_way(room: Office, worker: Far, column: Column) -> None:
    row = room.edge.board.row(worker.arguments.place.row)
    row[column] = 1
    _drain(room, worker)
    _rounds(room)
    assert not room.edge.stopping
    row[column] = 0
    _rounds(room)
    assert room.edge.stopping


@pytest.mark.parametrize("column", [Column.READING, Column.IDLE])
def test_a_drain_waits_for_the_last_request_of_a_client_and_not_for_ever(
    room: Office, worker: Far, monkeypatch: pytest.MonkeyPatch, column: Column
) -> None:
    row = room.edge.board.row(worker.arguments.place.row)
    row[column] = 1
    _drain(room, worker)
    _rounds(room)
    assert not room.edge.stopping
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 5.3)
    _rounds(room)
    assert not room.edge.stopping, "a worker gives it five seconds"
    monkeypatch.setattr(time, "monotonic", lambda: now + 6.0)
    _rounds(room)
    assert room.edge.stopping


def test_a_worker_dies_at_a_drain_before_the_vault_has_heard_of_its_tunnel(
    room: Office, worker: Far, its_vault: Talker, tunnel: Tunnel
) -> None:
    room.edge.board.row(worker.arguments.place.row)[Column.TUNNELS] = 1
    _drain(room, worker)
    its_vault.tunnel(tunnel)
    its_vault.close()
    worker.die()
    _rounds(room)
    assert room.vault.tunnels == 1
    assert not room.edge.stopping


def test_a_drain_before_the_file_has_been_read_begins_when_it_has(room: Office) -> None:
    Shutdown(room.edge).drain()
    _rounds(room)
    assert not room.edge.stopping
    room.open(workers=1)
    worker = room.worker()
    assert room.edge.draining is not None
    worker.hear(Prepare)
    assert worker.hear(Serve)[0].draining
    assert room.said.of("drain")
    _rounds(room)
    assert room.edge.stopping


def test_a_drain_does_not_wait_for_ever_for_a_file_that_is_never_read(
    room: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    Shutdown(room.edge).drain()
    room.turn()
    assert not room.edge.stopping
    monkeypatch.setattr(shutdown, "_READ_TIMEOUT", -1.0)
    room.turn()
    assert room.edge.stopping


def test_a_second_drain_before_the_file_has_been_read_stops(room: Office) -> None:
    ends = Shutdown(room.edge)
    ends.drain()
    ends.drain()
    assert room.edge.stopping
    _rounds(room)
    assert room.said.of("stopped")


def test_a_second_drain_stops(room: Office, worker: Far) -> None:
    room.edge.board.row(worker.arguments.place.row)[Column.TUNNELS] = 1
    ends = Shutdown(room.edge)
    ends.drain()
    ends.drain()
    assert room.edge.stopping
    assert worker.pending() == ["drain", "stop"]


def test_what_outlives_the_drains_time_is_expired(room: Office, worker: Far) -> None:
    assert room.edge.summary is not None
    room.edge.summary = replace(room.edge.summary, drain=0.0)
    room.edge.board.row(worker.arguments.place.row)[Column.TUNNELS] = 1
    _drain(room, worker)
    assert room.said.of("drain_expired") == [{"level": "warning", "tunnels": 1, "exchanges": 0}]
    assert worker.pending() == ["expire"]


def test_a_handover_without_a_vault_of_its_own_is_refused(room: Office, worker: Far) -> None:
    Shutdown(room.edge).hand_over()
    assert "--vault" in room.said.of("handover_refused")[0]["reason"]
    assert worker.pending() == []
