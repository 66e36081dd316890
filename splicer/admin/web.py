"""The HTTP server of the admin address: parsing is as strict as on the public address, with fewer features."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import trio
from attrs import define

from splicer.admin.dispatch import Page, Refused, Request, Stream, Table, allowed, find, in_json
from splicer.admin.guard import check_host, check_origin
from splicer.admin.request import parse_body, read_body, read_query
from splicer.errors import ClientGone, MethodNotAllowed, SplicerError, TooManyConnections
from splicer.http1.request import parse_request, request_line
from splicer.http1.writer import simple_response, stream_head
from splicer.model import RequestHead, Respond
from splicer.net.listen import accept_forever
from splicer.net.stream import TcpStream
from splicer.observe.log import Logger
from splicer.session.client import ClientLeg
from splicer.session.respond import send_answer

_HEAD_SECONDS = 10.0
_HANDLER_SECONDS = 10.0
_KEEPALIVE_SECONDS = 75.0
_HEAD_BYTES = 16 * 1024
_PIECE_BYTES = 64 * 1024  # of an answer, sent with a timeout each: a slow connection differs from a stopped reader
_MOST_CONNECTIONS = 64
_MOST_HANDLED = 48  # requests at once: the other connections wait for their clients, and can make room
_LOG_INTERVAL = 10.0  # seconds between two `accept_backs_off` lines


class Web:
    """Serves pages.

    Invariant: there is always room for a new connection. Of 64 connections, at most 48 are being handled; the others
    wait for the client: for a request, for its body, until it has read its answer, or until it closes. The connection
    that has waited for its client longest is closed.

    Args:
        table: the pages.
        log: the logger.
        any_host: whether any Host is accepted.
    """

    def __init__(self, table: Table, log: Logger, *, any_host: bool = False) -> None:
        self._table = table
        self._log = log
        self._any_host = any_host
        self._handled = 0
        self._awaited: dict[ClientLeg, trio.CancelScope] = {}  # connections that wait for their client, longest first
        self._exhausted_logged = -_LOG_INTERVAL

    async def serve(self, listeners: Sequence[socket.socket]) -> None:
        """Serve until cancelled.

        Args:
            listeners: from `net.bind`.
        """
        async with trio.open_nursery() as nursery:

            def accept(sock: socket.socket, peer: str) -> None:
                if self._handled + len(self._awaited) >= _MOST_CONNECTIONS:
                    self._awaited.pop(next(iter(self._awaited))).cancel()
                client = ClientLeg(TcpStream(sock), peer)
                self._awaited[client] = trio.CancelScope()
                nursery.start_soon(self._converse, client, self._awaited[client])

            # One at a time (`burst`): a client that sends its request at once is served before many others come in.
            for listener in listeners:
                nursery.start_soon(partial(accept_forever, listener, accept, self._exhausted, burst=1))

    async def _converse(self, client: ClientLeg, scope: trio.CancelScope) -> None:
        try:
            with scope:
                while await self._take_request(client):
                    await trio.lowlevel.checkpoint()  # pipelined requests must not keep other connections waiting
                    if not await client.wait_request(_KEEPALIVE_SECONDS):
                        return
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - a bug must not end the other connections
            text = "".join(traceback.format_exception(error))[-2000:]
            self._log.error("crash", process="admin", client=client.peer, error=repr(error), traceback=text)
        finally:
            self._awaited.pop(client, None)
            client.stream.close()

    # The wait for this client starts anew, unless it was cancelled already to make room.
    def _wait_anew(self, client: ClientLeg) -> None:
        if client in self._awaited:
            self._awaited[client] = self._awaited.pop(client)

    @contextmanager
    def _handling(self, client: ClientLeg, page: Page) -> Iterator[None]:
        if self._handled >= _MOST_HANDLED and not page.at_once:
            raise TooManyConnections(f"{_MOST_HANDLED} requests are being handled: ask again")
        scope = self._awaited.pop(client, None)
        self._handled += 1
        try:
            yield
        finally:
            self._handled -= 1
            if scope is not None:
                self._awaited[client] = scope

    # Returns whether another request may follow: only if the next byte is certainly its first one.
    async def _take_request(self, client: ClientLeg) -> bool:
        raw, exchange = b"", _Exchange()
        try:
            heard = await client.read_head(_HEAD_SECONDS, _HEAD_BYTES)
            if heard is None:
                return False
            self._wait_anew(client)
            raw = heard
            answer = await self._answer(client, raw, exchange)
            if not isinstance(answer, Respond):
                await self._stream(client, answer, exchange)
                return False
        except ClientGone:
            raise
        except MethodNotAllowed:
            line = request_line(raw)  # there may be no head: the parser refuses some methods on any path
            allow = ", ".join(allowed(self._table, line[1] if line else ""))
            answer = in_json({"error": f"allowed are: {allow}"}, 405, ((b"Allow", allow.encode()),))
        except SplicerError as error:
            answer = in_json({"error": error.detail}, error.status)
        head_only = exchange.head is not None and exchange.head.method == "HEAD"
        more = exchange.persists
        data = simple_response(
            answer.status, answer.body, answer.content_type, answer.headers, head_only=head_only, close=not more
        )
        # There is no checkpoint after the last piece: a client that has its whole answer counts as idle before another
        # connection is accepted.
        for start in range(0, len(data), _PIECE_BYTES):
            if start:
                await trio.lowlevel.checkpoint()
            await send_answer(client, data[start : start + _PIECE_BYTES])
            self._wait_anew(client)
        if not more:
            await client.linger()
        return more

    # A client that takes nothing for `send_answer`'s time is gone. A stream has a place among the requests that are
    # being handled: their number is bounded, and a stream's end is nothing that its client owes.
    async def _stream(self, client: ClientLeg, stream: Stream, exchange: _Exchange) -> None:
        scope = self._awaited.pop(client, None)
        self._handled += 1
        try:
            fields = ((b"Cache-Control", b"no-store"), (b"X-Content-Type-Options", b"nosniff"))
            head_only = exchange.head is not None and exchange.head.method == "HEAD"
            await send_answer(client, stream_head(stream.content_type, fields))
            while not head_only:
                await send_answer(client, await stream.piece())
        finally:
            stream.close()
            self._handled -= 1
            if scope is not None:
                self._awaited[client] = scope

    async def _answer(self, client: ClientLeg, raw: bytes, exchange: _Exchange) -> Respond | Stream:
        head, server = parse_request(raw, limit=_HEAD_BYTES)
        exchange.head, exchange.unread = head, head.has_body
        if not self._any_host:
            check_host(head)
        page, part = find(self._table, head.method, head.path)
        check_origin(head)
        query = read_query(head, page)
        data = await read_body(client, head, server, page)
        exchange.unread = False
        body = parse_body(data, page)
        with self._handling(client, page), trio.move_on_after(_HANDLER_SECONDS):
            try:
                return await page.handle(
                    Request(query, body, part, client.peer, _joined(head, b"accept"), _joined(head, b"if-none-match"))
                )
            except Refused as error:
                return in_json({"error": str(error)}, error.status)
        return in_json({"error": f"no answer within {_HANDLER_SECONDS:g} s"}, 504)

    def _exhausted(self, error: OSError) -> None:
        now = trio.current_time()
        if now - self._exhausted_logged >= _LOG_INTERVAL:
            self._exhausted_logged = now
            self._log.error("accept_backs_off", error=error.strerror)


def _joined(head: RequestHead, name: bytes) -> str:
    return b", ".join(head.values(name)).decode("latin-1")


@define
class _Exchange:
    """The facts about a request that its answer depends on."""

    head: RequestHead | None = None
    unread: bool = False  # bytes of its body may still come

    @property
    def persists(self) -> bool:
        head = self.head
        if head is None or head.version != "1.1" or self.unread:
            return False
        return not any(b"close" in value.lower() for value in head.values(b"connection"))
