"""Pods, good and bad, on real sockets in the test's own nursery."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import trio
from attrs import Factory, define
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket
from wsproto.utilities import generate_accept_token

from tests.kit.http import Message
from tests.kit.wire import EndOfStream, Wire

Handler = Callable[[Wire], Awaitable[None]]
Answer = Callable[[Message], bytes]
LARGEST = 1 << 26  # bytes of a message
Call = Callable[[WebSocketConnection], Awaitable[None]]


@define(eq=False)
class Pod:
    """A listening pod.

    Args:
        connections: how many it has accepted.
        seen: the whole requests that it has read (`http_pod`) or the heads (`tunnel_pod`).
    """

    connections: int = 0
    seen: list[Message] = Factory(list)
    scope: trio.CancelScope = Factory(trio.CancelScope)

    def stop(self) -> None:
        """Close the listener and all connections."""
        self.scope.cancel()


async def raw_pod(nursery: trio.Nursery, address: str, port: int, handle: Handler, pod: Pod | None = None) -> Pod:
    """A pod that calls `handle` with each connection, and closes the connection after it."""
    pod = pod or Pod()
    await nursery.start(_serve, pod, address, port, handle)
    return pod


async def _serve(
    pod: Pod, address: str, port: int, handle: Handler, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    async def one(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await handle(Wire(stream))
            except (trio.BrokenResourceError, trio.ClosedResourceError, EndOfStream):
                return

    with pod.scope, trio.socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await listener.bind((address, port))
        listener.listen(1024)
        task_status.started()
        async with trio.open_nursery() as nursery:
            while True:
                sock, _ = await listener.accept()
                pod.connections += 1
                nursery.start_soon(one, trio.SocketStream(sock))


def ok(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A response with a Content-Length."""
    lines = [b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


async def http_pod(nursery: trio.Nursery, address: str, port: int, answer: Answer | bytes | None = None) -> Pod:
    """A keep-alive pod that reads whole requests; without `answer` its body is its own address."""
    pod = Pod()
    fixed = ok(address.encode()) if answer is None else answer

    async def handle(wire: Wire) -> None:
        while True:
            pod.seen.append(await wire.request())
            await wire.send(fixed if isinstance(fixed, bytes) else fixed(pod.seen[-1]))

    return await raw_pod(nursery, address, port, handle, pod)


def switching(head: bytes, *fields: bytes) -> bytes:
    """A correct 101 for a WebSocket handshake."""
    token = generate_accept_token(Message(head).values("Sec-WebSocket-Key")[0])
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + token,
        *fields,
    ]
    return b"\r\n".join([*lines, b"", b""])


async def echo(wire: Wire) -> None:
    """Send back all bytes, and the end of the stream."""
    while data := await wire.some():
        await wire.send(data)
    await wire.send_eof()


async def patient_echo(wire: Wire) -> None:
    """Echo without a timeout: the client may be silent for long while the proxy is away."""
    while data := await wire.stream.receive_some(65536):
        await wire.stream.send_all(data)
    await wire.send_eof()


async def tunnel_pod(nursery: trio.Nursery, address: str, port: int, handle: Handler = echo) -> Pod:
    """A pod that accepts any WebSocket handshake, and then calls `handle` for the raw bytes."""
    pod = Pod()

    async def upgrade(wire: Wire) -> None:
        head = await wire.head()
        pod.seen.append(Message(head))
        await wire.send(switching(head))
        await handle(wire)

    return await raw_pod(nursery, address, port, upgrade, pod)


async def echo_messages(call: WebSocketConnection) -> None:
    """Send back every message."""
    while True:
        await call.send_message(await call.get_message())


async def ws_pod(
    nursery: trio.Nursery, address: str, port: int, talk: Call = echo_messages, subprotocol: str | None = None
) -> Pod:
    """A pod made with trio-websocket."""
    pod = Pod()

    async def take(request: WebSocketRequest) -> None:
        pod.connections += 1
        pod.seen.append(Message(f"GET {request.path} HTTP/1.1\r\n".encode() + _lines(request) + b"\r\n"))
        call = await request.accept(subprotocol=subprotocol)
        try:
            await talk(call)
        except ConnectionClosed:
            return

    async def serve(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with pod.scope:
            async with trio.open_nursery() as inner:
                await inner.start(
                    lambda task_status: serve_websocket(
                        take, address, port, None, max_message_size=LARGEST, task_status=task_status
                    )
                )
                task_status.started()
                await trio.sleep_forever()

    await nursery.start(serve)
    return pod


def _lines(request: WebSocketRequest) -> bytes:
    return b"".join(b"%s: %s\r\n" % field for field in request.headers)
