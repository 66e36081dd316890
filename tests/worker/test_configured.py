"""The configuration in force: what it reaches, at first and with each reload. The parts are real, no process is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.configfile.read import Prepared, prepare
from splicer.errors import ConfigError
from splicer.ipc.board import Board, Column
from splicer.model import Route
from splicer.net.resolve import ResolverStats
from splicer.observer import Observer
from splicer.vault import protocol
from splicer.worker.adopted import Adopted
from splicer.worker.configured import Configured
from splicer.worker.parts import Parts
from splicer.worker.vital import VitalTasks

_PATH = Path("routing.toml")


def _text(name: str, connections: int = 1000) -> str:
    return f"""
[limits]
connections = {connections}
[log]
query = {str(name == "second").lower()}
[upstreams.{name}]
address = "127.0.0.1:8000"
[[routes]]
name = "{name}"
prefix = "/"
upstream = "{name}"
"""


class Counts(Observer):
    """Metrics of which only the known routes are kept."""

    def __init__(self, known: list[str]) -> None:
        self.resolver = ResolverStats()
        self._known = known

    def know(self, routes: Iterable[Route]) -> None:
        self._known[:] = [route.name for route in routes]

    def late(self, seconds: float) -> None:
        return

    def spans_dropped(self, spans: int) -> None:
        raise AssertionError("a span was dropped")

    def observer_failed(self) -> None:
        raise AssertionError("an observer failed")


class Process:
    """A worker's parts and their configuration; `lines`: what was logged; `known`: routes that are counted."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.lines: list[dict[str, Any]] = []
        self.known: list[str] = []
        self.done = 0
        self.text: str | Exception = ""
        self.board = Board()
        self._metrics = Counts(self.known)
        self.parts = Parts(
            self.board, 1, None, protocol.VERSION, None, cast("Any", self._metrics), lambda adopted: self.adopt(adopted)
        )
        self.tasks = VitalTasks(nursery, self._die)
        self.configured = Configured(
            prepare(_text("first"), _PATH, {}),
            self.parts,
            self.tasks,
            cast("Any", SimpleNamespace(write=lambda line: self.lines.append(json.loads(line)))),
            _PATH,
            self._read,
            self._reloaded,
            self._reloaded,
        )

    def _reloaded(self) -> None:
        self.done += 1

    def _die(self, error: BaseException) -> None:
        raise AssertionError(f"the worker would end: {error!r}")

    def adopt(self, adopted: Adopted) -> None:
        self.configured.adoption.adopt(adopted)

    async def _read(self, fd: int) -> Prepared:
        os.close(fd)
        await trio.lowlevel.checkpoint()
        if isinstance(self.text, Exception):
            raise self.text
        return prepare(self.text, _PATH, {})

    async def reload(self, text: str | Exception) -> None:
        """Put a text into force, or try to."""
        self.text = text
        self.configured.reloads.ask([os.dup(0)])
        await wait_all_tasks_blocked()

    @property
    def routes(self) -> list[str]:
        """Those by which requests are served."""
        return [route.name for route in self.configured.context.rules.table.routes]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@pytest.fixture
async def process(nursery: trio.Nursery) -> AsyncIterator[Process]:
    process = Process(nursery)
    yield process
    os.close(process.parts.link.journal.fd)  # its memory is in use as long as the hub runs
    process.board.close()
    nursery.cancel_scope.cancel()


async def test_the_first_configuration_reaches_all_who_go_by_it(process: Process) -> None:
    context = process.configured.context
    assert (process.routes, process.known) == (["first"], ["first"])
    assert context is process.parts.publisher.context is process.parts.admission.context
    assert context.rules.limits.connections == 1000
    assert context.vault is process.parts.link


async def test_a_reload_reaches_them_too(process: Process) -> None:
    context = process.configured.context
    await process.reload(_text("second", connections=7))
    assert (process.routes, process.known, process.done) == (["second"], ["second"], 1)
    assert process.configured.config.limits.connections == 7
    assert process.configured.context is context, "what is under way keeps its context"
    assert process.configured._access.query
    assert process.lines == []


async def test_a_reload_tells_other_workers_of_tunnels_that_are_limited_now(process: Process) -> None:
    places, board = process.configured.context.places, process.board.routes
    places.opened("second")
    assert board.others(2, "second") == 0
    upgrade = 'upgrade = ["websocket"]\nmax_tunnels = 9\n'
    await process.reload(_text("second") + upgrade)
    places.opened("second")
    assert board.others(2, "second") == 2
    board.row(2).publish({"second": 7})
    assert not places.take("second", 9)
    assert places.take("second", 10)
    await process.reload(_text("second"))
    assert board.others(2, "second") == 0


async def test_what_can_not_be_put_into_force_changes_nothing(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    await process.reload(ConfigError(("line 7: no such key",)))
    monkeypatch.setattr(process.parts.rules, "make", fail)
    await process.reload(_text("second"))
    assert (process.routes, process.known) == (["first"], ["first"])
    assert list(process.configured.config.upstreams) == ["first"]
    assert [(line["event"], line["kept"], line["file"], line["error"]) for line in process.lines] == [
        ("reload_failed", "the old routes", "routing.toml", "line 7: no such key"),
        ("reload_failed", "the old routes", "routing.toml", "ZeroDivisionError('a bug')"),
    ]
    assert process.done == 2, "whoever waits hears that it was tried"


async def test_tracing_comes_and_goes_with_the_configuration(process: Process) -> None:
    def told(tunnel: str) -> bool:
        observers = process.configured._observer
        assert process.parts.spans.tunnel == tunnel
        return process.parts.spans.tunnel_closed in observers._closed

    assert process.configured.context.rules.tracing is None
    await process.reload(_text("second") + "[tracing]\nsample = 1\n")
    assert process.configured.context.rules.tracing is not None
    assert not told("link"), "the spans go nowhere"
    endpoint = '[tracing]\nendpoint = "http://127.0.0.1:1/x"\ntunnel = "child"\n'
    await process.reload(_text("second") + endpoint)
    assert told("child")
    assert process.parts.spans.query, "as the log"
    tracing = process.configured.context.rules.tracing
    assert tracing is not None
    assert tracing.patterns == {"second": "/*"}
    await process.reload(_text("first"))
    assert process.configured.context.rules.tracing is None
    assert not told("child")


async def test_who_leaves_shows_that_it_accepts_no_more(process: Process) -> None:
    process.parts.row[Column.LISTENING] = 1
    await process.configured.leaving.leave()
    assert process.parts.row[Column.LISTENING] == 0
    assert process.configured.context.retiring


async def test_the_endpoints_are_those_of_the_configuration_in_force(process: Process) -> None:
    def upstreams() -> list[str]:
        return [row.upstream for batch in process.configured.endpoint_rows() for row in batch]

    assert upstreams() == ["first"]
    await process.reload(_text("second"))
    assert upstreams() == ["second"]


async def test_a_tunnel_that_can_not_go_on_is_logged(process: Process) -> None:
    (client, its), (pod, other) = socket.socketpair(), socket.socketpair()
    with its, other:
        process.adopt(Adopted(6, 1, b"nonsense", client, pod, {}))
    assert process.events() == ["adoption_failed"]
    assert process.parts.row[Column.ADOPTED] == 0


async def test_all_parts_run_beside_each_other(process: Process, autojump_clock: MockClock) -> None:
    with process.parts.hub.opened():
        async with trio.open_nursery() as nursery:
            process.parts.start(nursery.start_soon)
            process.configured.start()
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        process.parts.close()
    assert process.lines == []
