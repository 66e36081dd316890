"""Tunnels that are only there to be looked at: nothing moves in them."""

from __future__ import annotations

import socket
from typing import Any

import trio

from splicer.errors import Side
from splicer.model import Endpoint, Record
from splicer.relay.hub import Hub
from splicer.relay.tunnel import Leg, Tunnel
from tests.relay.harness import FOREVER


class StillHub(Hub):
    """Shows these; they may be changed at any time."""

    def __init__(self, *tunnels: Tunnel) -> None:
        self.shown = list(tunnels)

    @property
    def live(self) -> list[Tunnel]:
        return list(self.shown)


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


def still(owner: object = None, client: socket.socket | None = None, pod: socket.socket | None = None) -> Tunnel:
    """A tunnel between these sockets; without them, of which nothing more can be known."""
    owner = record() if owner is None else owner
    return Tunnel(_leg(client, Side.CLIENT), _leg(pod, Side.POD), FOREVER, trio.current_time(), owner=owner)


def _leg(sock: socket.socket | None, side: Side) -> Leg:
    if sock is None:
        sock = socket.socket()
        sock.close()
    return Leg(sock, side)
