"""The rooms of the admin process within this one, with a supervisor and workers of the test's own.

async with rig() as admin:
    worker = admin.worker(1, tunnels=[tunnel("a")])
    answer = await admin.ask("GET", "/tunnels")
"""

from __future__ import annotations

import json
import os
import select
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from splicer.admin.current_config import CurrentConfig
from splicer.admin.dispatch import Refused
from splicer.admin.drain_api import DrainApi
from splicer.admin.events import Events
from splicer.admin.handlers import Handlers
from splicer.admin.picture import Picture
from splicer.admin.rates import LOOKED_AT
from splicer.admin.supervisor_status import SupervisorStatus
from splicer.admin.tallies import Tallies
from splicer.admin.tls_state import TlsState
from splicer.admin.web import Web
from splicer.admin.workers import Workers
from splicer.ipc import wire
from splicer.ipc.board import Board
from splicer.ipc.facts import EdgeFacts, OperatorDrains
from splicer.ipc.messages import AdminOrder, AdminReport, WantDrains
from splicer.ipc.queries import (
    AskCounts,
    AskEndpoints,
    AskPlaces,
    AskTunnels,
    ClosedRow,
    CloseTunnel,
    CountRow,
    EndpointRow,
    PlaceRow,
    Question,
    TunnelRow,
)
from splicer.ipc.supervisor_channel import SupervisorChannel
from splicer.net.bind import bind
from splicer.observe.line_writer import LineWriter
from splicer.observe.log import Logger, make_logger
from splicer.otlp.exporter import Exporter
from splicer.vault.protocol import channel
from tests.kit.wire import dial, request

CONFIG = """
[resolver.hosts]
"pod-1.pods.test" = "127.0.0.11"
"pod-2.pods.test" = "127.0.0.12"
"pods.test" = ["127.0.0.11", "127.0.0.12"]

[upstreams.pod]
address = "{pod}.pods.test:8000"
allow = ["127.0.0.0/8"]

[upstreams.any-pod]
address = "pods.test:8000"
allow = ["127.0.0.0/8"]

[[routes]]
name = "health"
path = "/health"
respond = { status = 200, body = "healthy\\n" }

[[routes]]
name = "call"
regex = '^/ws/pod/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
rewrite = "{rest}"
fallback = "any-pod"
"""


def tunnel(id: str, pod: str = "pod-1", address: str = "127.0.0.11", **more: Any) -> TunnelRow:  # noqa: A002 - its name
    """A worker's row for a tunnel."""
    known: dict[str, Any] = {
        "id": id,
        "route": "call",
        "pod": pod,
        "upstream": "pod",
        "endpoint": f"{address}:8000",
        "client": "127.0.0.1",
        "path": "/ws/pod/pod-1/x",
        "protocol": "websocket",
        "age_s": 1.0,
        "idle_s": 0.0,
        "bytes_to_pod": 0,
        "bytes_to_client": 0,
        "worker": 1,
        "adopted": 0,
        "client_rtt_ms": 0.1,
        "client_retransmits": 0,
        "pod_rtt_ms": 0.1,
        "pod_retransmits": 0,
    }
    return TunnelRow(**{**known, **more})


def endpoint(pod: str, address: str, state: str = "up", since_s: float | None = 1.0, **more: Any) -> EndpointRow:
    """A worker's row for an endpoint."""
    known: dict[str, Any] = {"upstream": "pod", "pod": pod, "address": address, "port": 8000, "source": "dns"}
    return EndpointRow(**{**known, "tunnels": 0, "state": state, "failure": None, "since_s": since_s, **more})


def counts(*tunnels: tuple[str, str, int], to_pod: int = 0, to_client: int = 0) -> list[CountRow]:
    """A worker's rows for its sums: in parts, which add up."""
    return [CountRow((), to_pod, to_client, 1), *(CountRow((group,), 0, 0, 1) for group in tunnels)]


def places(tunnels: list[TunnelRow]) -> list[PlaceRow]:
    """A worker's rows for the ways of its tunnels."""
    ways = Counter((row.route or "", row.pod, row.upstream or "", row.endpoint or "") for row in tunnels)
    return [PlaceRow(*way, number) for way, number in ways.items()]


_NAMES = {AskPlaces: "places", AskTunnels: "tunnels", AskCounts: "counts", AskEndpoints: "endpoints"}


@define(eq=False)
class FakeWorker:
    """Answers on its channel as the contract says, or as `answer` does; `mute`: not at all."""

    sock: socket.socket
    rows: dict[str, list[Any]]
    mute: bool = False
    heard: list[Question[Any]] = field(factory=list)
    answer: Callable[[FakeWorker, Question[Any]], None] | None = None
    _life: trio.CancelScope = field(factory=trio.CancelScope)

    async def run(self) -> None:
        with self.sock, self._life:
            while True:
                await trio.lowlevel.wait_readable(self.sock)
                heard = wire.receive(self.sock, Question)
                if heard is None:
                    return
                question = heard.message
                assert question is not None
                self.heard.append(question)
                if self.answer is not None:
                    self.answer(self, question)
                elif not self.mute:
                    self.reply(question)

    def reply(self, question: Question[Any]) -> None:
        """A row a packet."""
        if isinstance(question, CloseTunnel):
            rows: list[Any] = self._close(question)
        else:
            rows = self.rows.get(_NAMES[type(question)], [])
            if isinstance(question, AskPlaces) and not rows:
                rows = places(self.rows.get("tunnels", []))
        for row in rows:
            self.send(question, [row], more=True)
        self.send(question, [], more=False)

    def send(self, question: Question[Any], rows: list[Any], *, more: bool) -> None:
        wire.send(self.sock, question.ANSWER(question.request, more=more, rows=tuple(rows)))

    def die(self) -> None:
        self._life.cancel()

    def _close(self, question: CloseTunnel) -> list[ClosedRow]:
        tunnels = self.rows.get("tunnels", [])
        kept = [row for row in tunnels if row.id != question.id]
        if len(kept) == len(tunnels):
            return []
        self.rows["tunnels"] = kept
        return [ClosedRow(question.id)]


@define(eq=False)
class Rig:
    """See the module."""

    nursery: trio.Nursery
    facts: SupervisorStatus
    workers: Workers
    current: CurrentConfig
    drains: DrainApi
    board: Board
    supervisor: socket.socket
    address: tuple[str, int]
    exporter: Exporter
    lines: LineWriter
    logger: Logger
    log: int
    events: Events
    drains_told: list[OperatorDrains] = field(factory=list)
    _pid: int = 1000

    def learn(self, **facts: Any) -> None:
        """The supervisor tells these facts; the others are as they were."""
        self.facts.learn(replace(self.facts.now, **facts))

    def worker(
        self, slot: int, answer: Callable[[FakeWorker, Question[Any]], None] | None = None, mover: str = "", **rows: Any
    ) -> FakeWorker:
        """A worker that the admin process knows."""
        ours, its = channel()
        self._pid += 1
        self.workers.add(slot, self._pid, ours, mover=mover)
        worker = FakeWorker(its, rows, answer=answer)
        self.nursery.start_soon(worker.run)
        return worker

    async def confirm_drains(self) -> None:
        """Be a supervisor that does as it is told."""
        while True:
            await trio.lowlevel.wait_readable(self.supervisor)
            heard = wire.receive(self.supervisor, AdminReport)
            assert heard is not None
            assert isinstance(heard.message, WantDrains)
            self.drains_told.append(heard.message.drains)
            self.learn(drains=heard.message.drains)

    async def ask(self, method: str, target: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request on a connection of its own: the status, and what the JSON says."""
        data = b"" if body is None else json.dumps(body).encode()
        host = headers.pop("Host", "localhost")
        fields = [f"{name}: {value}" for name, value in {"Connection": "close", **headers}.items()]
        async with dial(self.address) as wire:
            await wire.send(request(method, target, *fields, host=host, body=data))
            answer = await wire.reply(method)
            assert await wire.rest() == b""
        is_json = answer.get("Content-Type") == "application/json"
        return answer.status, json.loads(answer.body) if is_json else answer.body

    def wait_for_a_line(self) -> None:
        """Until something is logged."""
        assert select.select([self.log], [], [], 20)[0]

    def logged(self) -> list[dict[str, Any]]:
        """All that was logged; no more can be."""
        self.lines.close()
        os.set_blocking(self.log, False)
        try:
            return [json.loads(line) for line in os.read(self.log, 1 << 16).splitlines()]
        except BlockingIOError:
            return []


@asynccontextmanager
async def rig(config: str | None = CONFIG, *, wanted: int = 0) -> AsyncIterator[Rig]:
    """A rig; `config` is in force, `wanted` is how many slots there should be."""
    read, write = os.pipe()
    lines = LineWriter(write)
    log = make_logger(lines, "json")
    ours, its = channel()
    board = Board()
    with bind("127.0.0.1", 0) as listener, ours, its:
        async with trio.open_nursery() as nursery:
            facts = SupervisorStatus()
            facts.learn(EdgeFacts(workers=wanted))
            workers = Workers(nursery, log)
            current = CurrentConfig(nursery, Path("routing.toml"), {}, log)
            drains = DrainApi(SupervisorChannel(its, AdminOrder, wire.VERSION), facts, workers, current, board)
            tls = TlsState(board, facts)
            picture = Picture(board, facts, workers, current, drains, tls, Tallies(None, LOOKED_AT))
            events = Events(picture, workers, _raise)
            pages = Handlers(board, facts, workers, current, drains, _scrape, tls, events, partial(_operated, log))
            nursery.start_soon(events.run)
            nursery.start_soon(Web(pages.for_operators, log).serve, [listener])
            if config is not None:
                current.learn(config)
                for _ in range(1000):  # a virtual clock may run ahead of the thread that reads it
                    with suppress(Refused):
                        await current.config()
                        break
            exporter = Exporter(lambda: None, {}, log)
            address = listener.getsockname()
            yield Rig(
                nursery, facts, workers, current, drains, board, ours, address, exporter, lines, log, read, events
            )
            nursery.cancel_scope.cancel()
    lines.close()
    for fd in (read, write, *board.fds):
        os.close(fd)


def _raise(error: Exception) -> None:
    raise error


def _operated(log: Logger, action: str, what: str, client: str) -> None:
    log.info("operator", action=action, what=what, client=client)


async def _scrape() -> bytes:
    return b"splicer_up 1\n"
