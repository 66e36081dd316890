"""A worker's acceptor with what stands for its other parts: real sockets."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from splicer.arrival import Arrival
from splicer.config.schema import Limits
from splicer.model import Deadlines
from splicer.net.stream import TcpStream
from splicer.net.waits import Timers
from splicer.session.context import ConnectionState, StubStatus
from splicer.worker.acceptor import Acceptor
from splicer.worker.client_connections import ClientConnections
from splicer.worker.worker_log import WorkerLog

BUFFER = 1 << 16  # bytes


@define
class Served:
    """What stands for `session.connection.Connection`: a connection that does nothing."""

    context: Any
    stream: TcpStream
    peer: str
    over: bool = field(default=False, kw_only=True)
    place: ConnectionState = field(default=ConnectionState.READING, kw_only=True)
    arrival: Arrival | None = field(default=None, kw_only=True)

    async def serve(self) -> None:
        """Its task, which runs only where the connections of a client are counted."""
        try:
            await self.context.over.wait()
        finally:
            self.stream.close()


class Owner:
    """A worker's side. `served`: connections whose tasks were begun."""

    def __init__(self, nursery: trio.Nursery, idle: Any = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        self.served: list[Served] = []
        self.refused: list[str] = []
        self.crashes: list[Exception] = []
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.accepted = 0
        self.room, self.excess = True, -1
        self.idle_room = False
        self._nursery = nursery
        self.counts = StubStatus()
        self.empty: list[str] = []
        observer = SimpleNamespace(
            connection_refused=lambda peer, error: self.refused.append(f"{peer} {type(error).__name__}"),
            connection_empty=self.empty.append,
            crashed=lambda peer, record, error: self.crashes.append(error),
        )
        if idle is None:
            idle = SimpleNamespace(make_room=lambda: self.idle_room)
        self.rules = SimpleNamespace(limits=Limits(), trusted_proxies=(), errors={}, deadlines=Deadlines())
        self.over_now = trio.Event()
        self.context = SimpleNamespace(
            counts=self.counts, observer=observer, idle=idle, rules=self.rules, over=self.over_now, timers=Timers()
        )
        log = WorkerLog(lambda: 7)
        log.begin(cast("Any", self), cast("Any", self))
        self.counted = ClientConnections(lambda: 1)
        self.acceptor = Acceptor(
            cast("Any", self.context),
            self,
            self.counted,
            self._start,
            lambda: False,
            self._count,
            log,
            cast("Any", None),
        )
        self.clients: list[socket.socket] = []

    def _start(self, task: Any, *arguments: Any) -> None:
        owner = getattr(task, "__self__", None)
        if isinstance(owner, Served):
            self.served.append(owner)
        else:
            self._nursery.start_soon(task, *arguments)

    def _count(self) -> None:
        self.accepted += 1

    # ---- the limit ----

    def over(self) -> int:
        return self.excess

    def may_ask(self, _over: int | None = None) -> bool:
        return self.room

    # ---- the log ----

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def say(self, line: Any, event: str, **fields: Any) -> None:
        line(event, **fields)

    # ---- clients ----

    async def connect(self, count: int = 1) -> list[socket.socket]:
        """New clients."""
        clients = [socket.create_connection(self.address) for _ in range(count)]
        for client in clients:
            client.setblocking(False)
        self.clients += clients
        await wait_all_tasks_blocked(0.01)
        return clients

    def close(self) -> None:
        self.acceptor.stop()
        self.listener.close()
        for client in self.clients:
            client.close()
        for connection in self.served:
            connection.stream.close()
