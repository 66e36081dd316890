"""A small HTTP/1.1 server and client for the demo: h11 on a Trio stream."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import h11
import trio
import wsproto.utilities
from attrs import frozen
from trio_websocket import ConnectionClosed

from splicer.demo.failure import DemoFailed
from splicer.demo.replay import replayed
from splicer.net.bind import bind

_CHUNK = 16384  # bytes
_REQUEST_TIMEOUT = 75.0  # seconds for the next request, its answer included
_ENDS_ONE_CONNECTION = (
    trio.BrokenResourceError,
    trio.TooSlowError,
    h11.ProtocolError,
    wsproto.utilities.ProtocolError,
    ConnectionClosed,
)


@frozen
class Request:
    """A whole request.

    Args:
        method: as received.
        target: path and query as received.
        headers: by name in lower case.
        body: its bytes.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@frozen
class Answer:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Answer:
        """An answer in JSON."""
        return cls(status, "application/json", json.dumps(value, indent=2).encode() + b"\n")


Respond = Callable[[Request], Answer]
TakeCall = Callable[[trio.abc.Stream], Awaitable[None]]


def listening(who: str, host: str, port: int, remedy: str = "is another demo running?") -> socket.socket:
    """A listening socket.

    Args:
        who: the name of the server, for the error.
        host: numeric address.
        port: TCP port; 0 takes any free one.
        remedy: what to do if the address is not available.

    Raises:
        DemoFailed: the address is not available.
    """
    try:
        return bind(host, port)
    except OSError as error:
        raise DemoFailed(f"{who}: {host}:{port}: {error.strerror}; {remedy}") from error


async def serve(
    who: str,
    host: str,
    port: int,
    respond: Respond,
    take_call: TakeCall | None = None,
    *,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen and serve until cancelled.

    Args:
        who: the name of the server, for the error.
        host: numeric address.
        port: TCP port.
        respond: answers a request.
        take_call: gets the connection when a WebSocket handshake comes; it reads the request itself.
        task_status: started when connections are accepted.

    Raises:
        DemoFailed: the address is not available.
    """
    sock = listening(who, host, port)

    # A connection that breaks, or whose client sends garbage, affects no other connection.
    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await _converse(stream, respond, take_call)
            except* _ENDS_ONE_CONNECTION:
                pass

    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    await trio.serve_listeners(handle, [listener], task_status=task_status)


async def _converse(stream: trio.SocketStream, respond: Respond, take_call: TakeCall | None) -> None:
    server = h11.Connection(h11.SERVER)
    while True:
        with trio.fail_after(_REQUEST_TIMEOUT):
            head, body = await _read(server, stream)
            if not isinstance(head, h11.Request):
                return
            headers = _fields(head)
            if take_call is not None and headers.get("upgrade", "").lower() == "websocket":
                break
            answer = respond(Request(head.method.decode(), head.target.decode(), headers, body))
            await _answer(server, stream, answer, head_only=head.method == b"HEAD")
        if server.our_state is not h11.DONE:
            return
        server.start_next_cycle()
    await take_call(replayed(head, stream))


async def _answer(server: h11.Connection, stream: trio.SocketStream, answer: Answer, *, head_only: bool) -> None:
    fields = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
    head = h11.Response(status_code=answer.status, headers=fields, reason=HTTPStatus(answer.status).phrase)
    await _send(server, stream, head, h11.Data(b"" if head_only else answer.body), h11.EndOfMessage())


async def fetch(address: str, method: str, target: str, body: bytes = b"") -> Answer:
    """One request on a connection of its own; the caller's cancel scope is its deadline.

    Args:
        address: "host:port".
        method: the request's method.
        target: path and query.
        body: an encoded form.

    Raises:
        OSError: the connection failed.
        h11.RemoteProtocolError: the answer is not valid HTTP.
        trio.BrokenResourceError: the connection broke.
    """
    client = h11.Connection(h11.CLIENT)
    headers = [("Host", address), ("Connection", "close")]
    if body:
        headers += [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", str(len(body)))]
    host, _, port = address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        request = h11.Request(method=method, target=target, headers=headers)
        await _send(client, stream, request, h11.Data(body), h11.EndOfMessage())
        head, content = await _read(client, stream)
    if not isinstance(head, h11.Response):
        raise h11.RemoteProtocolError("closed without an answer")
    return Answer(head.status_code, _fields(head).get("content-type", ""), content)


async def _send(connection: h11.Connection, stream: trio.SocketStream, *events: h11.Event) -> None:
    await stream.send_all(b"".join(connection.send(event) or b"" for event in events))


async def _read(connection: h11.Connection, stream: trio.SocketStream) -> tuple[h11.Event, bytes]:
    head, body = await _next_event(connection, stream), b""
    if isinstance(head, h11.Request | h11.Response):
        while isinstance(part := await _next_event(connection, stream), h11.Data):
            body += part.data
    return head, body


async def _next_event(connection: h11.Connection, stream: trio.SocketStream) -> h11.Event:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive_some(_CHUNK))
    assert isinstance(event, h11.Event)  # noqa: S101 - PAUSED comes only after a message's end
    return event


def _fields(head: h11.Request | h11.Response) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in head.headers}
