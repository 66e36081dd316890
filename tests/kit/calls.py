"""Clients that open WebSocket tunnels."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from tests.kit.edge import Edge
from tests.kit.pods import LARGEST
from tests.kit.wire import TIMEOUT, Wire, dial, request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3


def handshake(target: str, *fields: str, host: str = "edge.test", key: str = KEY) -> bytes:
    """A WebSocket handshake."""
    own = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13")
    return request("GET", target, *own, *fields, host=host)


@asynccontextmanager
async def tunnel(
    edge: Edge, target: str, *fields: str, source: str = "127.0.0.1", window: int | None = None
) -> AsyncIterator[Wire]:
    """An open tunnel: what the pod sends after its 101 is what the wire reads first."""
    async with dial(edge.address, source, window) as wire:
        await wire.send(handshake(target, *fields))
        head = await wire.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield wire


@asynccontextmanager
async def call(
    edge: Edge,
    target: str,
    *fields: tuple[str, str],
    host: str = "edge.test",
    subprotocols: Sequence[str] = (),
) -> AsyncIterator[WebSocketConnection]:
    """A call by trio-websocket."""
    async with dial(edge.address) as wire, trio.open_nursery() as nursery:
        headers = [(name.encode(), value.encode()) for name, value in fields]
        with trio.fail_after(TIMEOUT):
            connection = await wrap_client_stream(
                nursery,
                wire.stream,
                host,
                target,
                subprotocols=subprotocols,
                extra_headers=headers,
                max_message_size=LARGEST,
            )
        async with connection:
            yield connection
