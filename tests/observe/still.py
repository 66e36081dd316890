"""Tunnels that are only there to be looked at: nothing moves in them."""

from __future__ import annotations

import socket
from typing import Any

import trio
from attrs import define, field

from splicer.model import Endpoint
from splicer.record import Record


def _closed() -> socket.socket:
    """One of which nothing more can be known."""
    sock = socket.socket()
    sock.close()
    return sock


@define(eq=False)
class StillTunnel:
    """A `TunnelView` whose numbers a test changes at any time; `last`: when a byte moved, on Trio's clock."""

    owner: Record
    alive: bool = True
    to_pod: int = 0
    to_client: int = 0
    last: float = field(factory=trio.current_time)
    sockets: tuple[socket.socket, socket.socket] = field(factory=lambda: (_closed(), _closed()))

    @property
    def peer_ends(self) -> tuple[None, None]:
        return None, None

    def idle(self, now: float) -> float:
        return now - self.last


class StillRelay:
    """Shows these; they may be changed at any time."""

    def __init__(self, *tunnels: StillTunnel) -> None:
        self.shown = list(tunnels)
        self.turns = 0

    def views(self) -> list[StillTunnel]:
        return list(self.shown)

    def turn_if_due(self) -> None:
        """There is nothing to move."""
        self.turns += 1


def record(number: int = 1, **more: Any) -> Record:
    """What is known of a call."""
    known: dict[str, Any] = {
        "id": f"{number:016x}",
        "client": "192.0.2.7",
        "started": trio.current_time(),
        "method": "GET",
        "path": "/ws/pod/pod-1/x",
        "host": "edge.test",
        "route": "call",
        "upstream": "pod",
        "endpoint": Endpoint("pod-1", "10.0.0.1", 8000),
        "protocol": "websocket",
        "status": 101,
    }
    return Record(**{**known, **more})


def still(owner: Record | None = None) -> StillTunnel:
    """A tunnel between sockets of which nothing can be known."""
    return StillTunnel(record() if owner is None else owner)
