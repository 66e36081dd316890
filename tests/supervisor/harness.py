"""A supervisor's state without its loop, and the far ends of processes that nobody has started.

with office() as room:
    room.open(workers=1)
    worker = room.started("splicer.worker")
    worker.say("imported")
    words, fds = worker.hear("prepare")
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from splicer.ipc import wire
from splicer.ipc.board import Board
from splicer.ipc.wire import Message
from splicer.observe.plain_log import PlainLog
from splicer.supervisor import launch
from splicer.supervisor.config_probe import ConfigSummary
from splicer.supervisor.edge_state import EdgeState
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.metrics_dir import MetricsDirectory
from splicer.supervisor.vaults import OwnVault

_NOBODY = 1 << 22  # above the highest pid that Linux gives (proc(5), pid_max): it may be killed
KILLED = int(signal.SIGKILL)  # a wait status
ANY = ("127.0.0.1", 0)


class Said(PlainLog):
    """A log to be looked at."""

    def __init__(self) -> None:
        self.style = "json"
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[str] = []

    def __call__(self, event: str, level: str = "info", **fields: Any) -> None:
        self.lines.append((event, {"level": level, **fields}))

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
    arguments: dict[str, Any]
    sock: socket.socket
    office: Office
    _heard: list[tuple[Message, list[int]]] = field(factory=list)

    def send(self, word: str, **more: Any) -> None:
        """Say something, and let the supervisor take it in."""
        wire.send(self.sock, {"is": word, **more})
        self.office.turn()

    def hear(self, word: str) -> tuple[Message, list[int]]:
        """What it was told next, which must be this; its descriptors are closed at the end."""
        words, fds = self.next()
        assert words["do"] == word, words
        return words, fds

    def next(self) -> tuple[Message, list[int]]:
        heard = wire.receive(self.sock)
        assert heard is not None
        self.office.descriptors += heard[1]
        return heard

    def pending(self) -> list[str]:
        """The words of all that it was told since it last looked."""
        words = []
        while True:
            try:
                words.append(self.next()[0]["do"])
            except BlockingIOError:
                return words

    def die(self, status: int = KILLED) -> None:
        self.sock.close()
        self.office.edge.process_table.died(self.pid, status)
        self.office.turn()


class Office:
    """See the module."""

    def __init__(self, path: Path, counts: MetricsDirectory | None) -> None:
        self.said = Said()
        self.selector = selectors.DefaultSelector()
        self.vault = OwnVault(self.selector, self.said)
        self.edge = EdgeState(path, self.said, self.vault, self.selector, Board(), Listeners(), counts)
        self.all: list[Far] = []
        self.descriptors: list[int] = []

    def open(self, *, workers: int = 1, spares: int = 0, **more: Any) -> None:
        """Put a configuration in force, as after its first reading."""
        facts = facts_of(workers=workers, **more)
        assert self.edge.bind(facts) == []
        self.edge.put_in_force(facts)
        self.edge.workers.spares = spares
        self.turn()

    # As the supervisor's loop does it, until there is nothing more to do.
    def turn(self) -> None:
        edge = self.edge
        while True:
            edge.workers.reconcile()
            edge.admin_process.reconcile()
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

    def spawn(self, module: str, arguments: dict[str, Any], _: Sequence[int]) -> int:
        sock = socket.socket(fileno=os.dup(arguments["control"]))
        sock.setblocking(False)
        pid = _NOBODY + len(self.all)
        self.all.append(Far(module, pid, arguments, sock, self))
        return pid

    def worker(self, *, serving: bool = True) -> Far:
        """The last worker that was started, as far as a slot, or until it serves."""
        worker = next(far for far in reversed(self.all) if far.module == "splicer.worker")
        worker.send("imported")
        worker.send("prepared")
        if serving:
            worker.send("serving")
        return worker

    def admin(self) -> Far:
        """The last admin process, serving; it has heard nothing yet."""
        admin = next(far for far in reversed(self.all) if far.module == "splicer.admin")
        admin.send("ready")
        admin.send("serving")
        return admin

    def close(self) -> None:
        edge = self.edge
        for process in edge.process_table.all.values():
            process.sock.close()
        for far in self.all:
            far.sock.close()
        for fd in self.descriptors:
            os.close(fd)
        for listeners in (edge.listeners, edge.admin_process.listeners, edge.admin_process.metrics):
            listeners.close()
        for channel in self.vault.holder.channels:
            channel.sock.close()
        if edge.counts is not None:
            edge.counts.remove()
        self.selector.close()
        os.close(edge.board.fd)


def facts_of(**more: Any) -> ConfigSummary:
    """What a child says of a file."""
    known = {
        "listen": [ANY],
        "admin": ANY,
        "metrics": None,
        "workers": 1,
        "format": "json",
        "drain": 3600.0,
        "text": "a text",
        "warnings": [],
        "changes": [],
        "needs_restart": [],
    }
    return {**known, **more}


@contextmanager
def office(path: Path = Path("routing.toml"), counts: MetricsDirectory | None = None) -> Iterator[Office]:
    made = Office(path, counts)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(launch, "spawn", made.spawn)
        try:
            yield made
        finally:
            made.close()
