"""A worker that does one thing at a time, and dies at whichever system call it is told to.

What runs in it is the product: hub, vault link and the tunnel's story. It moves bytes only when an order says so, and
counts its system calls and journal stores; at the given count it kills itself.

Run as a module it is the small process that forks such workers for a `Forge` (tests/vault/forge.py): its argument is
the descriptor that orders come from.
"""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.model import Endpoint
from splicer.net.stream import TcpStream
from splicer.observer import Observer
from splicer.record import Record
from splicer.relay import beginning
from splicer.relay.api import TunnelEnd, TunnelLimits, TunnelSpec
from splicer.relay.clean_pipes import CleanPipes
from splicer.relay.hub import Hub
from splicer.relay.mover import Mover
from splicer.relay.mover_interface import ByteMover
from splicer.relay.native import NativeMover
from splicer.relay.pipes import Pipe
from splicer.relay.state import NATIVE
from splicer.session import passport
from splicer.session.client import ClientLeg
from splicer.session.context import SessionContext
from splicer.session.tunnel import OpenTunnel, run_adopted, run_tunnel
from splicer.upstream.balance import Balancer
from splicer.vault import protocol
from splicer.worker import vault_outbox, vault_releases
from splicer.worker.adopted import Adopted
from splicer.worker.vault_link import VaultLink
from tests.vault.forge import MAX_BYTES

_FOREVER = TunnelLimits(idle=math.inf, half_closed=math.inf, lifetime=math.inf)
_CALLS: tuple[tuple[Any, str], ...] = (
    (os, "splice"),
    (os, "write"),
    (os, "pipe2"),
    (os, "close"),
    (protocol, "send"),
    (protocol, "receive"),
    (socket.socket, "shutdown"),
    (socket.socket, "setsockopt"),
    (socket.socket, "close"),
)
# What a worker can do wrong; each must be noticed by the law.
LATE_WORD, WRONG_DIRECTION, DIRTY_POOLED, LATE_REGISTRATION, USER_MEMORY, UNTOLD_PIPE = (
    "late word",
    "wrong direction",
    "dirty pipe pooled",
    "late registration",
    "user memory",
    "untold pipe",
)
LATE_DATA = "late data"  # the kernel's doing, and nothing wrong: every other fill finds nothing

Order = dict[str, Any]


class _Fuse:
    def __init__(self, length: int) -> None:
        self.steps = 0
        self._length = length

    def step(self) -> None:
        self.steps += 1
        if self.steps == self._length:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, with a step before and after it."""

        def stepped(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = call(*args, **kwargs)
            self.step()
            return result

        return stepped


class _SteppedJournal:
    """The journal's words, with a step before and after each store."""

    def __init__(self, words: memoryview[int], fuse: _Fuse, flaw: str) -> None:
        self._words = words
        self._fuse = fuse
        self._flaw = flaw
        self._late: dict[int, int] = {}

    def __setitem__(self, place: int, word: int) -> None:
        if self._flaw == LATE_WORD:
            self._late[place] = word
            return
        self._fuse.step()
        self._words[place] = word ^ (self._flaw == WRONG_DIRECTION)
        self._fuse.step()

    def __getitem__(self, place: int) -> int:
        return self._words[place]

    def catch_up(self) -> None:
        for place, word in self._late.items():
            self._fuse.step()
            self._words[place] = word
        self._late.clear()


class _Link(VaultLink):
    stepped: _SteppedJournal
    flaw: str

    def add_pipe(self, place: int, fd: int, word: int) -> None:
        try:
            super().add_pipe(place, fd, word)
        except BlockingIOError:
            if self.flaw != UNTOLD_PIPE or self._channel.outbox is None:
                raise
            self._inventory.pipes[place] = fd
            self._channel.outbox.post(lambda: self._inventory.pipe(place))

    @property
    def words(self) -> Any:
        return self.stepped


class _NeverSpent(CleanPipes):
    def take_spent(self) -> list[Pipe]:
        for pipe in super().take_spent():
            self.give(pipe)
        return []


class _PoolsDirty(Mover):
    def __init__(self, words: Any) -> None:
        super().__init__(words)
        self.pipes = _NeverSpent()
        self._clean = self.pipes.clean


class _RegistersLate(Hub):
    async def splice(self, spec: TunnelSpec[Any]) -> TunnelEnd:
        async with trio.open_nursery() as nursery:
            if spec.register is not None:
                nursery.start_soon(spec.register)
            return await super().splice(evolve(spec, register=None))


class _Observer(Observer):
    def __init__(self, crash: Callable[[str], None]) -> None:
        self._crash = crash

    def crashed(self, client: str, record: Record | None, error: Exception) -> None:
        self._crash(repr(error))


class _Process:
    """The worker itself."""

    def __init__(self, control: socket.socket, vault: socket.socket | None, settings: Order) -> None:
        self._control = control
        flaw = settings["flaw"]
        self._fuse = _Fuse(settings["fuse"])
        self._link = _Link(vault, Path(settings["path"]) if settings["path"] else None, self._adopt, lambda _: None)
        self._link.stepped = _SteppedJournal(self._link.journal.words, self._fuse, flaw)
        self._link.flaw = flaw
        hub = _RegistersLate if flaw == LATE_REGISTRATION else Hub
        self._hub = hub(registry=self._link, mover=self._mover(flaw))
        self._balancer = Balancer()
        nothing = cast("Any", None)
        self._context = SessionContext(
            rules=nothing,
            dial=nothing,
            pool=nothing,
            balancer=self._balancer,
            splice=self._hub.splice,
            observer=_Observer(self._crash),
            vault=self._link,
        )
        vault_releases._BATCH_WINDOW = math.inf
        if settings["hasty"]:
            vault_outbox._TIMEOUT = beginning._REGISTRY_TIMEOUT = 0.0
        for owner, name in _CALLS:
            setattr(owner, name, self._fuse.around(getattr(owner, name)))
        if flaw in (LATE_WORD, USER_MEMORY):
            os.splice = _spoiled(os.splice, self._link.stepped if flaw == LATE_WORD else None)
        elif flaw == LATE_DATA:
            os.splice = _too_early(os.splice)

    def _mover(self, flaw: str) -> Callable[[Any], ByteMover]:
        if not NATIVE:
            return _PoolsDirty if flaw == DIRTY_POOLED else Mover
        from splicer.relay import _mover

        _mover.set_step_hook(self._fuse.step)  # type: ignore[attr-defined]  # only builds for tests have it
        return lambda _: NativeMover(self._link.journal.words)

    async def run(self) -> None:
        with self._hub.opened():
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._link.run)
                for task in (self._hub._flushes.run, self._hub._stock.run):  # they move no byte
                    nursery.start_soon(task)
                while True:
                    await wait_all_tasks_blocked()
                    self._say()
                    await trio.lowlevel.wait_readable(self._control)
                    data, fds, _, _ = socket.recv_fds(self._control, MAX_BYTES, 2)
                    if not data:
                        os._exit(0)
                    await wait_all_tasks_blocked()
                    await self._obey(json.loads(data), fds)

    def _say(self, **more: Any) -> None:
        report = {"steps": self._fuse.steps, "pid": os.getpid(), **more}
        self._control.send(json.dumps(report).encode(), socket.MSG_NOSIGNAL)

    def _crash(self, error: str) -> None:
        self._say(crash=error)
        os._exit(1)

    # What has gathered is told with the next order, not when a clock says so: a kill between two orders comes before.
    async def _obey(self, order: Order, fds: list[int]) -> None:
        self._link.finish()
        match order["do"]:
            case "serve":
                self._link.serve(1, 1)
            case "open":
                self._nursery.start_soon(self._open, order, fds)
            case "turn":
                self._hub.turn()
            case "expire":
                self._hub.end_all(Side.PROXY, "drain")
            case "hand over":
                while not self._link.settled:  # noqa: ASYNC110 - as a worker that retires does
                    await trio.sleep(0.001)
                self._hub.let_go()
                self._link.close()
                os._exit(0)

    async def _open(self, order: Order, fds: list[int]) -> None:
        client, pod = (socket.socket(fileno=fd) for fd in fds)
        for sock in (client, pod):
            sock.setblocking(False)
        endpoint = Endpoint("pod", "127.0.0.1", 1)
        hold = self._balancer.hold(endpoint)
        hold.__enter__()
        tunnel = OpenTunnel(
            pod=TcpStream(pod),
            limits=_FOREVER,
            head=order["head"].encode("latin-1"),
            to_client=order["to_client"].encode("latin-1"),
            to_pod=order["to_pod"].encode("latin-1"),
            record=Record(order["id"], "127.0.0.1", trio.current_time(), endpoint=endpoint),
            hold=hold,
        )
        await run_tunnel(self._context, ClientLeg(TcpStream(client), "127.0.0.1"), tunnel)

    def _adopt(self, adopted: Adopted) -> None:
        past = passport.read(adopted.passport, adopted.adoptions)
        self._link.remember(adopted)
        streams = TcpStream(adopted.client), TcpStream(adopted.pod)
        self._nursery.start_soon(run_adopted, self._context, past, *streams, adopted.pipes)


def _spoiled(splice: Callable[..., int], journal: _SteppedJournal | None) -> Callable[..., int]:
    """A splice(2) after which the journal is written, or one whose fills go through the worker's own memory."""

    def spoiled(source: int, target: int, count: int, flags: int) -> int:
        if journal is None and stat.S_ISSOCK(os.fstat(source).st_mode):
            data = os.read(source, min(count, 4096))
            return os.write(target, data) if data else 0
        moved = splice(source, target, count, flags=flags)
        if journal is not None:
            journal.catch_up()
        return moved

    return spoiled


def _too_early(splice: Callable[..., int]) -> Callable[..., int]:
    """A splice(2) that finds no data the first time, though a moment later some is there."""
    early = False

    def too_early(source: int, target: int, count: int, flags: int) -> int:
        nonlocal early
        if stat.S_ISSOCK(os.fstat(source).st_mode):
            early = not early
            if early:
                raise BlockingIOError
        return splice(source, target, count, flags=flags)

    return too_early


def _fork_forever(orders: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    while True:
        data, fds, _, _ = socket.recv_fds(orders, MAX_BYTES, 2)
        if not data:
            return
        if os.fork():
            for fd in fds:
                os.close(fd)
            continue
        orders.close()
        settings = json.loads(data)
        control, *vaults = (socket.socket(fileno=fd) for fd in fds)
        for sock in (control, *vaults):
            sock.setblocking(False)
        try:
            trio.run(_Process(control, vaults[0] if vaults else None, settings).run)
        finally:
            os._exit(1)


if __name__ == "__main__":
    _fork_forever(socket.socket(fileno=int(sys.argv[1])))
