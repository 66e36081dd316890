"""A reload, with the real child that reads the file: how it went is kept, and the admin process is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from splicer.ipc import wire
from splicer.supervisor.reload import Reload
from tests.supervisor.harness import Far, Office, office

_FILE = """
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[[routes]]
name = "health"
path = "/health"
respond = {{ status = 200, body = "{0}" }}
"""
_TIMEOUT = 30.0  # seconds


class Reloading:
    """One worker and an admin process that serve by a file, and have heard nothing yet."""

    def __init__(self, room: Office, path: Path) -> None:
        self.room = room
        self.path = path
        self._reload = Reload(room.edge)
        room.edge.workers.spares = 0
        self.read("healthy")
        self.worker, self.admin = room.worker(), room.admin()
        self.worker.pending()
        self.admin.pending()

    def read(self, text: str) -> None:
        """Read another file, and do what follows from it."""
        self.path.write_text(_FILE.format(text))
        self._reload.read()
        while self._reload._config_probe._child is not None:
            for key, events in self.room.selector.select(_TIMEOUT):
                key.data(events)
        self.room.turn()

    def close(self) -> None:
        self._reload.close()


@pytest.fixture
def reloading(tmp_path: Path) -> Iterator[Reloading]:
    path = tmp_path / "routing.toml"
    with office(path) as room:
        opened = Reloading(room, path)
        yield opened
        opened.close()


def _text(far: Far, word: str) -> str:
    _, [fd] = far.hear(word)
    return wire.read_text(os.dup(fd))


def test_the_first_reading_is_none(reloading: Reloading) -> None:
    reloads = reloading.room.edge.reloads
    assert (reloads.ok, reloads.failed, reloads.last_ok) == (0, 0, True)
    assert reloading.room.edge.generation == 0


def test_one_that_succeeds_is_told_when_the_workers_go_by_it(reloading: Reloading) -> None:
    reloading.room.edge.reloads.last_at = 5.0
    reloading.read("well")
    assert "well" in _text(reloading.worker, "reload")
    assert reloading.admin.pending() == []
    assert reloading.room.edge.reloads.ok == 0
    reloading.worker.send("reloaded")
    facts, _ = reloading.admin.hear("facts")
    assert facts["generation"] == 1
    assert facts["reload"].items() >= {"ok": 1, "failed": 0, "last_ok": True}.items()
    assert facts["reload"]["last_at"] > 1e9
    assert "well" in _text(reloading.admin, "config")
    assert reloading.admin.pending() == []


def test_one_that_fails_is_told_at_once_and_the_old_text_stays(reloading: Reloading) -> None:
    reloading.room.edge.reloads.last_at = 5.0
    reloading.read('" bad')
    facts, _ = reloading.admin.hear("facts")
    assert facts["generation"] == 0
    assert facts["reload"].items() >= {"ok": 0, "failed": 1, "last_ok": False}.items()
    assert facts["reload"]["last_at"] > 1e9
    assert reloading.admin.pending() == reloading.worker.pending() == []
    assert "healthy" in reloading.room.edge.facts["text"]


def test_one_that_succeeds_after_one_that_failed(reloading: Reloading) -> None:
    reloading.read('" bad')
    reloading.read("well")
    reloading.worker.send("reloaded")
    assert reloading.admin.hear("facts")[0]["reload"]["last_ok"] is False
    reload = reloading.admin.hear("facts")[0]["reload"]
    assert (reload["ok"], reload["failed"], reload["last_ok"]) == (1, 1, True)


def test_an_admin_process_that_comes_later_gets_the_text_in_force(reloading: Reloading) -> None:
    reloading.read("well")
    reloading.worker.send("reloaded")
    reloading.admin.die()
    another = reloading.room.admin()
    assert another.hear("serve")[0]["reload"]["ok"] == 1
    another.hear("facts")
    assert "well" in _text(another, "config")
