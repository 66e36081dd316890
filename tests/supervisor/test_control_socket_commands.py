"""Commands to a supervisor whose processes nobody has started: words in, lines out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from splicer.ipc.messages import HandedOver, Reloaded, Serving
from splicer.supervisor.supervisor import Supervisor
from tests.supervisor.door import Door, hears_nothing_yet, outcome
from tests.supervisor.harness import Far, SupervisorHarness


def test_a_handover_that_is_refused(door: Door) -> None:
    ok, [line] = outcome(door.client(b"handover\n"))
    assert not ok
    assert "--vault" in line


def test_a_recycle_is_over_when_the_new_workers_serve(door: Door, harness: SupervisorHarness, worker: Far) -> None:
    harness.edge.workers.spares = 1
    client = door.client(b"recycle\n")
    spare = harness.worker(serving=False)
    door.supervisor._upgrade.go_on()
    assert worker.pending() == ["retire"]
    worker.send(HandedOver)
    door.supervisor._upgrade.go_on()
    assert hears_nothing_yet(client)
    spare.send(Serving)
    door.supervisor._upgrade.go_on()
    assert outcome(client) == (True, ["recycled: 1 new workers serve"])


def test_a_recycle_whose_new_workers_all_fail_is_told_of(door: Door, harness: SupervisorHarness) -> None:
    client = door.client(b"recycle\n")
    harness.edge.workers.backoff.failures = 4
    door.supervisor._upgrade.go_on()
    assert hears_nothing_yet(client)
    harness.edge.workers.backoff.failures = 5
    door.supervisor._upgrade.go_on()
    ok, lines = outcome(client)
    assert not ok
    assert "worker_died" in lines[0]
    assert door.supervisor._upgrade.underway


_ROUTES = '[server]\nlisten = "127.0.0.1:0"\n[[routes]]\nname = "{0}"\npath = "/x"\nrespond = {{ status = {1} }}\n'


def test_a_reload_is_over_when_the_workers_go_by_it(
    door: Door, harness: SupervisorHarness, worker: Far, tmp_path: Path
) -> None:
    harness.edge.path = tmp_path / "routing.toml"
    harness.edge.path.write_text(_ROUTES.format("new", 200))
    assert harness.edge.summary is not None
    harness.edge.summary = replace(harness.edge.summary, text=_ROUTES.format("old", 200))
    first, second = door.client(b"reload\n"), door.client(b"reload\n")
    door.reload_is_read()
    third = door.client(b"reload\n")
    assert hears_nothing_yet(first)
    worker.send(Reloaded)
    ok, lines = outcome(first)
    assert ok
    assert "reloaded: " in lines[0]
    assert outcome(second) == (ok, lines)
    assert hears_nothing_yet(third)  # another child reads the file for this one
    door.reload_is_read()
    worker.send(Reloaded)
    assert outcome(third) == (True, [f"{harness.edge.path}: reloaded: nothing has changed", *lines[1:]])


def test_a_reload_of_a_broken_file_tells_every_fault(door: Door, harness: SupervisorHarness, tmp_path: Path) -> None:
    harness.edge.path = tmp_path / "routing.toml"
    harness.edge.path.write_text(_ROUTES.format("a", 2000) + _ROUTES.partition("[[")[2].format("b", 3000))
    client = door.client(b"reload\n")
    door.reload_is_read()
    ok, lines = outcome(client)
    assert not ok
    assert lines[-1] == f"{harness.edge.path}: not reloaded; the old routes stay in force"
    assert [fields["fault"] for fields in harness.said.of("reload_fault")] == lines[:-1]


def test_a_command_for_which_no_child_can_be_had(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_child(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_spawn", no_child)
    ok, lines = outcome(door.client(b"upgrade\n"))
    assert not ok
    assert "unavailable" in lines[0]
    client = door.client()
    client.sendall(b"reload\n")
    with pytest.raises(OSError, match="unavailable"):  # the loop logs it, as for a signal
        door.harness.turn()
    ok, [line] = outcome(client)
    assert not ok
    assert "unavailable" in line


def test_nothing_begins_when_all_ends(door: Door, harness: SupervisorHarness) -> None:
    waiting = door.client(b"recycle\n")
    door.supervisor._shutdown.stop()
    assert outcome(waiting) == (False, ["the edge is stopping"])
    assert outcome(door.client(b"reload\n")) == (False, ["the edge is stopping"])


def test_nothing_begins_before_the_file_has_been_read(harness: SupervisorHarness, tmp_path: Path) -> None:
    harness.edge.control.listen(tmp_path / "control")
    door = Door(harness, tmp_path / "control", Supervisor(harness.edge))
    with door.stack:
        assert outcome(door.client(b"upgrade\n")) == (False, ["the edge is starting"])
    harness.edge.control.close()
