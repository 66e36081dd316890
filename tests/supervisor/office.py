"""A supervisor's desk without its loop, and the far ends of processes that nobody has started.

with office() as desk:
    desk.open(workers=1)
    worker = desk.started("splicer.run")
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

from splicer.control import wire
from splicer.control.board import Board
from splicer.control.wire import Words
from splicer.supervisor import launch
from splicer.supervisor.countsdir import CountsDirectory
from splicer.supervisor.desk import Desk
from splicer.supervisor.inspection import Facts
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.say import Say
from splicer.supervisor.vaults import OwnVault

_NOBODY = 1 << 22  # above the highest pid that Linux gives (proc(5), pid_max): it may be killed
KILLED = int(signal.SIGKILL)  # a wait status
ANY = ("127.0.0.1", 0)


class Said(Say):
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
    _heard: list[tuple[Words, list[int]]] = field(factory=list)

    def say(self, word: str, **more: Any) -> None:
        """Say something, and let the supervisor take it in."""
        wire.say(self.sock, {"is": word, **more})
        self.office.turn()

    def hear(self, word: str) -> tuple[Words, list[int]]:
        """What it was told next, which must be this; its descriptors are closed at the end."""
        words, fds = self.next()
        assert words["do"] == word, words
        return words, fds

    def next(self) -> tuple[Words, list[int]]:
        heard = wire.hear(self.sock)
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
        self.office.desk.fleet.died(self.pid, status)
        self.office.turn()


class Office:
    """See the module."""

    def __init__(self, path: Path, counts: CountsDirectory | None) -> None:
        self.said = Said()
        self.selector = selectors.DefaultSelector()
        self.vault = OwnVault(self.selector, self.said)
        self.desk = Desk(path, self.said, self.vault, self.selector, Board(), Listeners(), counts)
        self.all: list[Far] = []
        self.descriptors: list[int] = []

    def open(self, *, workers: int = 1, spares: int = 0, **more: Any) -> None:
        """Put a configuration in force, as after its first reading."""
        facts = facts_of(workers=workers, **more)
        assert self.desk.bind(facts) == []
        self.desk.put_in_force(facts)
        self.desk.crew.spares = spares
        self.turn()

    # As the supervisor's loop does it, until there is nothing more to do.
    def turn(self) -> None:
        desk = self.desk
        while True:
            desk.crew.fill()
            desk.attendant.fill()
            desk.steps = [step for step in desk.steps if not step()]
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
        worker = next(far for far in reversed(self.all) if far.module == "splicer.run")
        worker.say("imported")
        worker.say("prepared")
        if serving:
            worker.say("serving")
        return worker

    def admin(self) -> Far:
        """The last admin process, serving; it has heard nothing yet."""
        admin = next(far for far in reversed(self.all) if far.module == "splicer.admin")
        admin.say("ready")
        admin.say("serving")
        return admin

    def close(self) -> None:
        desk = self.desk
        for process in desk.fleet.all.values():
            process.sock.close()
        for far in self.all:
            far.sock.close()
        for fd in self.descriptors:
            os.close(fd)
        for listeners in (desk.listeners, desk.attendant.listeners, desk.attendant.metrics):
            listeners.close()
        for channel in self.vault.holder.channels:
            channel.sock.close()
        if desk.counts is not None:
            desk.counts.remove()
        self.selector.close()
        os.close(desk.board.fd)


def facts_of(**more: Any) -> Facts:
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
def office(path: Path = Path("routing.toml"), counts: CountsDirectory | None = None) -> Iterator[Office]:
    made = Office(path, counts)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(launch, "spawn", made.spawn)
        try:
            yield made
        finally:
            made.close()
