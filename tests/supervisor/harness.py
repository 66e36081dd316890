"""A supervisor's state without its loop, and the far ends of processes that nobody has started.

with supervisor_harness() as harness:
    harness.open(workers=1)
    worker = harness.started("splicer.worker")
    worker.send(Imported)
    order, fds = worker.hear(Prepare)
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import define, field

from splicer.ipc import wire
from splicer.ipc.board import Board
from splicer.ipc.codec import to_json
from splicer.ipc.facts import Address, ConfigSummary, EdgeFacts
from splicer.ipc.message import Answer, Message, Request
from splicer.ipc.messages import AdminOrder, DiscoveryOrder, Facts, Imported, Prepared, Ready, Serving, WorkerOrder
from splicer.observe.plain_log import PlainLog
from splicer.supervisor import launch
from splicer.supervisor.edge_state import EdgeState
from splicer.supervisor.listeners import EdgeListeners
from splicer.supervisor.metrics_dir import MetricsDirectory
from splicer.supervisor.vaults import OwnVault

_NOBODY = 1 << 22  # above the highest pid that Linux gives (proc(5), pid_max): it may be killed
KILLED = int(signal.SIGKILL)  # a wait status
ANY = ("127.0.0.1", 0)
M = TypeVar("M", bound=Message)


class Said(PlainLog):
    """A log to be looked at."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[str] = []

    def __call__(self, event: str, level: str = "info", **fields: Any) -> None:
        self.lines.append((event, {"level": level, **fields}))

    def use(self, log_format: str) -> None:
        """It is looked at whatever its format."""

    def fail(self, faults: list[str]) -> None:
        self.faults += faults

    def of(self, event: str) -> list[dict[str, Any]]:
        """What was said of one kind of event."""
        return [fields for each, fields in self.lines if each == event]


@define(eq=False)
class Far:
    """The far end of a process's channel."""

    module: str
    pid: int
    arguments: Any  # of `ipc.arguments`
    sock: socket.socket
    harness: SupervisorHarness
    _heard: list[tuple[Message, list[int]]] = field(factory=list)
    _requests: dict[type[Answer], int] = field(factory=dict)  # the newest number that waits for each kind of answer

    def send(self, kind: type[Message], **fields: Any) -> None:
        """Say something, and let the supervisor take it in; an answer is one to the newest request."""
        self._read()
        if issubclass(kind, Answer):
            fields.setdefault("request", self._requests.get(kind, 0))
        self.send_raw({"version": wire.VERSION, "kind": kind.KIND, **fields})

    def send_raw(self, raw: dict[str, Any]) -> None:
        """Say this, whatever it is."""
        self.sock.send(to_json(raw).encode())
        self.harness.turn()

    def hear(self, kind: type[M]) -> tuple[M, list[int]]:
        """What it was told next, which must be this; its descriptors are closed at the end."""
        message, fds = self.next()
        assert isinstance(message, kind), message
        return message, fds

    def next(self) -> tuple[Message, list[int]]:
        self._read()
        if not self._heard:
            raise BlockingIOError
        return self._heard.pop(0)

    def pending(self) -> list[str]:
        """The kinds of all that it was told since it last looked."""
        self._read()
        kinds = [message.KIND for message, _ in self._heard]
        self._heard.clear()
        return kinds

    def _read(self) -> None:
        borders: dict[str, type[Message]] = {launch.ADMIN: AdminOrder, launch.DISCOVERY: DiscoveryOrder}
        border = borders.get(self.module, WorkerOrder)
        while True:
            try:
                heard = wire.receive(self.sock, border)
            except BlockingIOError:
                return
            if heard is None:
                return
            assert heard.message is not None
            self.harness.descriptors += heard.fds
            self._heard.append((heard.message, heard.fds))
            if isinstance(heard.message, Request):
                self._requests[heard.message.ANSWER] = heard.message.request

    def die(self, status: int = KILLED) -> None:
        self.sock.close()
        self.harness.edge.process_table.died(self.pid, status)
        self.harness.turn()


class SupervisorHarness:
    """See the module."""

    def __init__(self, path: Path, counts: MetricsDirectory | None) -> None:
        self.said = Said()
        self.selector = selectors.DefaultSelector()
        self.vault = OwnVault(self.selector, self.said)
        self.edge = EdgeState(path, self.said, self.vault, self.selector, Board(), EdgeListeners(), counts)
        self.all: list[Far] = []
        self.descriptors: list[int] = []

    def open(self, *, workers: int = 1, spares: int = 0, **more: Any) -> None:
        """Put a configuration in force, as after its first reading."""
        summary = summary_of(workers=workers, **more)
        assert self.edge.bind(summary) == []
        self.edge.put_in_force(summary)
        self.edge.workers.spares = spares
        self.turn()

    # As the supervisor's loop does it, until there is nothing more to do.
    def turn(self) -> None:
        edge = self.edge
        while True:
            edge.workers.reconcile()
            for process in edge.side_processes:
                process.reconcile()
            edge.steps = [step for step in edge.steps if not step()]
            events = self.selector.select(0)
            if not events:
                return
            for key, mask in events:
                key.data(mask)

    def started(self, module: str) -> Far:
        """The process that was started last, which must run this."""
        assert self.all[-1].module == module
        return self.all[-1]

    def spawn(self, module: str, arguments: Any, _: Sequence[int]) -> int:
        sock = socket.socket(fileno=os.dup(arguments.place.control))
        sock.setblocking(False)
        pid = _NOBODY + len(self.all)
        self.all.append(Far(module, pid, arguments, sock, self))
        return pid

    def worker(self, *, serving: bool = True) -> Far:
        """The last worker that was started, as far as a slot, or until it serves."""
        worker = next(far for far in reversed(self.all) if far.module == "splicer.worker")
        worker.send(Imported, mover="native")
        worker.send(Prepared)
        if serving:
            worker.send(Serving)
        return worker

    def admin(self) -> Far:
        """The last admin process, serving; it has heard nothing yet."""
        admin = next(far for far in reversed(self.all) if far.module == "splicer.admin")
        admin.send(Ready)
        admin.send(Serving)
        return admin

    def discovery(self) -> Far:
        """The last discovery process, serving; it has heard nothing yet."""
        discovery = next(far for far in reversed(self.all) if far.module == "splicer.discovery")
        discovery.send(Ready)
        discovery.send(Serving)
        return discovery

    def close(self) -> None:
        edge = self.edge
        for process in edge.process_table.all.values():
            process.sock.close()
        for far in self.all:
            far.sock.close()
        for fd in self.descriptors:
            os.close(fd)
        edge.listeners.close()
        for channel in self.vault.holder.channels:
            channel.sock.close()
        if edge.counts is not None:
            edge.counts.remove()
        self.selector.close()
        edge.board.close()


def summary_of(
    listen: Sequence[Address] = (ANY,), admin: Address | None = ANY, metrics: Address | None = None, **more: Any
) -> ConfigSummary:
    """What a child says of a file."""
    one = {name: () if address is None else (address,) for name, address in (("admin", admin), ("metrics", metrics))}
    known = {"text": "a text", "read": None, "workers": 1, "drain": 3600.0, "format": "json", **more}
    return ConfigSummary(listeners={"listen": tuple(listen), **one}, **known)


def facts_of(admin: Far) -> EdgeFacts:
    """What it was told next, which must be these."""
    told, _ = admin.hear(Facts)
    return told.facts


def all_facts_of(admin: Far) -> list[EdgeFacts]:
    found: list[EdgeFacts] = []
    while True:
        try:
            message, _ = admin.next()
        except BlockingIOError:
            return found
        if isinstance(message, Facts):
            found.append(message.facts)


@contextmanager
def supervisor_harness(
    path: Path = Path("routing.toml"), counts: MetricsDirectory | None = None
) -> Iterator[SupervisorHarness]:
    made = SupervisorHarness(path, counts)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(launch, "spawn", made.spawn)
        try:
            yield made
        finally:
            made.close()
