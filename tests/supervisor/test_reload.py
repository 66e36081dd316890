"""A reload, with the real child that reads the file: how it went is kept, and the admin process is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from splicer.ipc import messages, wire
from splicer.ipc.facts import Reloads
from splicer.ipc.message import Message
from splicer.ipc.messages import Config, Facts, Reloaded, ServeAdmin
from splicer.supervisor.reload import Reload
from tests.supervisor.harness import Far, SupervisorHarness, supervisor_harness

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

    def __init__(self, harness: SupervisorHarness, path: Path) -> None:
        self.harness = harness
        self.path = path
        self._reload = Reload(harness.edge)
        harness.edge.workers.spares = 0
        self.read("healthy")
        self.worker, self.admin = harness.worker(), harness.admin()
        self.worker.pending()
        self.admin.pending()

    def read(self, text: str) -> None:
        """Read another file, and do what follows from it."""
        self.path.write_text(_FILE.format(text))
        self._reload.read()
        while self._reload._config_probe._child is not None:
            for key, events in self.harness.selector.select(_TIMEOUT):
                key.data(events)
        self.harness.turn()

    def close(self) -> None:
        self._reload.close()


@pytest.fixture
def reloading(tmp_path: Path) -> Iterator[Reloading]:
    path = tmp_path / "routing.toml"
    with supervisor_harness(path) as harness:
        opened = Reloading(harness, path)
        yield opened
        opened.close()


def _text(far: Far, kind: type[Message]) -> str:
    _, [fd] = far.hear(kind)
    return wire.read_text(os.dup(fd))


def _same(reloads: Reloads, wanted: Reloads) -> None:
    """But for when the last one was, which is not long ago."""
    assert reloads.last_at is not None
    assert reloads.last_at > 1e9
    assert replace(reloads, last_at=None) == wanted


def test_the_first_reading_is_none(reloading: Reloading) -> None:
    reloads = reloading.harness.edge.reloads
    assert (reloads.ok, reloads.failed, reloads.last_ok) == (0, 0, True)
    assert reloading.harness.edge.generation == 0


def test_one_that_succeeds_is_told_when_the_workers_go_by_it(reloading: Reloading) -> None:
    reloading.harness.edge.reloads = replace(reloading.harness.edge.reloads, last_at=5.0)
    reloading.read("well")
    assert "well" in _text(reloading.worker, messages.Reload)
    assert reloading.admin.pending() == []
    assert reloading.harness.edge.reloads.ok == 0
    reloading.worker.send(Reloaded)
    facts = reloading.admin.hear(Facts)[0].facts
    assert facts.generation == 1
    _same(facts.reloads, Reloads(ok=1, failed=0, last_ok=True))
    assert "well" in _text(reloading.admin, Config)
    assert reloading.admin.pending() == []


def test_one_that_fails_is_told_at_once_and_the_old_text_stays(reloading: Reloading) -> None:
    reloading.harness.edge.reloads = replace(reloading.harness.edge.reloads, last_at=5.0)
    reloading.read('" bad')
    facts = reloading.admin.hear(Facts)[0].facts
    assert facts.generation == 0
    assert "Unclosed inline table" in facts.reloads.faults[0]
    _same(replace(facts.reloads, faults=()), Reloads(ok=0, failed=1, last_ok=False))
    assert reloading.admin.pending() == reloading.worker.pending() == []
    assert reloading.harness.edge.summary is not None
    assert "healthy" in reloading.harness.edge.summary.text


def test_one_that_succeeds_after_one_that_failed(reloading: Reloading) -> None:
    reloading.read('" bad')
    reloading.read("well")
    reloading.worker.send(Reloaded)
    assert reloading.admin.hear(Facts)[0].facts.reloads.last_ok is False
    _same(reloading.admin.hear(Facts)[0].facts.reloads, Reloads(ok=1, failed=1, last_ok=True))


def test_an_admin_process_that_comes_later_gets_the_text_in_force(reloading: Reloading) -> None:
    reloading.read("well")
    reloading.worker.send(Reloaded)
    reloading.admin.die()
    another = reloading.harness.admin()
    assert another.hear(ServeAdmin)[0].facts.reloads.ok == 1
    another.hear(Facts)
    assert "well" in _text(another, Config)


# The answer to the first one may be on its way when the second is asked for.
def test_an_answer_to_an_earlier_one_is_none_to_this_one(reloading: Reloading) -> None:
    reloading.read("once")
    first = reloading.worker.hear(messages.Reload)[0].request
    reloading.read("twice")
    reloading.worker.send(Reloaded, request=first)
    assert reloading.harness.edge.reloads.ok == 1
    assert reloading._reload.underway
    reloading.worker.send(Reloaded)
    assert reloading.harness.edge.reloads.ok == 2
    assert not reloading._reload.underway
