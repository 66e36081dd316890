"""A pod that behaves as a test wants: a WebSocket server on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

Talk = Callable[[WebSocketConnection], Awaitable[None]]


async def echo(websocket: WebSocketConnection) -> None:
    """What a pod does."""
    while True:
        await websocket.send_message(await websocket.get_message())


@asynccontextmanager
async def fake_pod(
    talk: Talk, *, name: str | None = "voice-agent-7", status: int = 101, delay: float = 0.0
) -> AsyncIterator[str]:
    """The ws:// URL of one that is there within the block.

    Args:
        talk: what it does with a call.
        name: by which it answers; None: it says none.
        status: of its answer to the handshake.
        delay: seconds before that answer.
    """

    async def take(request: WebSocketRequest) -> None:
        await trio.sleep(delay)
        if status != 101:
            await request.reject(status)
            return
        websocket = await request.accept(extra_headers=[] if name is None else [(b"X-Pod", name.encode())])
        with suppress(ConnectionClosed):
            await talk(websocket)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_websocket, take, "127.0.0.1", 0, ssl_context=None))
        yield f"ws://127.0.0.1:{server.port}/x"
        nursery.cancel_scope.cancel()
