"""The admin address: HTTP/1.1 read as strictly as on the public one, and much less of it."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Sequence
from contextlib import suppress

import trio
from attrs import define

from splicer.admin.guard import check_host, check_origin
from splicer.admin.reading import parse_body, read_body, read_query
from splicer.admin.table import Asked, Refused, Table, allowed, find, in_json
from splicer.control.log import Logger
from splicer.errors import ClientGone, MethodNotAllowed, SplicerError, TooManyConnections
from splicer.http1.request import parse_request, request_line
from splicer.http1.writer import simple_response
from splicer.model import RequestHead, Respond
from splicer.net.listen import accept_forever
from splicer.net.stream import TcpStream
from splicer.session.client import ClientLeg
from splicer.session.respond import refusal, send_answer

_HEAD_SECONDS = 10.0
_HANDLER_SECONDS = 10.0
_KEEPALIVE_SECONDS = 75.0
_HEAD_BYTES = 16 * 1024
_PIECE_BYTES = 64 * 1024  # of an answer: a slow line is no reader that has stopped
_MOST_CONNECTIONS = 64
_QUIET = 10.0  # seconds between two lines about the same exhaustion


class Web:
    """Serves pages.

    Args:
        table: of the pages.
        log: is told what goes wrong here.
        any_host: by whatever name a client calls this address.
    """

    def __init__(self, table: Table, log: Logger, *, any_host: bool = False) -> None:
        self._table = table
        self._log = log
        self._any_host = any_host
        self._connections = 0
        self._silent: dict[ClientLeg, trio.CancelScope] = {}  # those of whom no whole request is there
        self._exhausted_logged = -_QUIET

    async def serve(self, listeners: Sequence[socket.socket]) -> None:
        """Serve until cancelled.

        Args:
            listeners: from `net.bind`.
        """
        async with trio.open_nursery() as nursery:

            def accept(sock: socket.socket, peer: str) -> None:
                client = ClientLeg(TcpStream(sock), peer)
                if self._connections < _MOST_CONNECTIONS or self._make_room():
                    self._connections += 1
                    nursery.start_soon(self._converse, client)
                else:
                    _turn_away(client)

            for listener in listeners:
                nursery.start_soon(accept_forever, listener, accept, self._exhausted)

    # Who has asked nothing for longest leaves: connections that ask nothing must not keep the scraper out.
    def _make_room(self) -> bool:
        if not self._silent:
            return False
        self._silent.pop(next(iter(self._silent))).cancel()
        return True

    async def _converse(self, client: ClientLeg) -> None:
        try:
            with trio.CancelScope() as scope:
                self._silent[client] = scope
                while await self._take_request(client):
                    self._silent[client] = scope
                    await trio.lowlevel.checkpoint()  # requests that are all there already make nobody else wait
                    if not await client.wait_request(_KEEPALIVE_SECONDS):
                        return
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - a bug must not end the other connections
            text = "".join(traceback.format_exception(error))[-2000:]
            self._log.error("crash", process="admin", client=client.peer, error=repr(error), traceback=text)
        finally:
            self._silent.pop(client, None)
            self._connections -= 1
            client.stream.close()

    # Whether another request may follow: only if the next byte is surely its first.
    async def _take_request(self, client: ClientLeg) -> bool:
        raw, exchange = b"", _Exchange()
        try:
            heard = await client.read_head(_HEAD_SECONDS, _HEAD_BYTES)
            if heard is None:
                return False
            self._silent.pop(client, None)
            raw = heard
            answer = await self._answer(client, raw, exchange)
        except ClientGone:
            raise
        except MethodNotAllowed:
            line = request_line(raw)  # the parser refuses some methods on any path: there may be no head
            allow = ", ".join(allowed(self._table, line[1] if line else ""))
            answer = in_json({"error": f"allowed are: {allow}"}, 405, ((b"Allow", allow.encode()),))
        except SplicerError as error:
            answer = in_json({"error": error.detail}, error.status)
        head_only = exchange.head is not None and exchange.head.method == "HEAD"
        more = exchange.persists
        data = simple_response(
            answer.status, answer.body, answer.content_type, answer.headers, head_only=head_only, close=not more
        )
        # None behind the last piece: whoever has the whole answer is one that is silent, before anybody else comes.
        for start in range(0, len(data), _PIECE_BYTES):
            if start:
                await trio.lowlevel.checkpoint()
            await send_answer(client, data[start : start + _PIECE_BYTES])
        if not more:
            await client.linger()
        return more

    async def _answer(self, client: ClientLeg, raw: bytes, exchange: _Exchange) -> Respond:
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
        with trio.move_on_after(_HANDLER_SECONDS):
            try:
                return await page.handle(Asked(query, body, part))
            except Refused as error:
                return in_json({"error": str(error)}, error.status)
        return in_json({"error": f"no answer within {_HANDLER_SECONDS:g} s"}, 504)

    def _exhausted(self, error: OSError) -> None:
        now = trio.current_time()
        if now - self._exhausted_logged >= _QUIET:
            self._exhausted_logged = now
            self._log.error("accept_backs_off", error=error.strerror)


@define
class _Exchange:
    """What the answer must know of its request."""

    head: RequestHead | None = None
    unread: bool = False  # bytes of its body may still come

    @property
    def persists(self) -> bool:
        head = self.head
        if head is None or head.version != "1.1" or self.unread:
            return False
        return not any(b"close" in value.lower() for value in head.values(b"connection"))


# The answer fits into the empty buffer of a new connection, and whoever has sent a request already may lose it.
def _turn_away(client: ClientLeg) -> None:
    error = TooManyConnections()
    with suppress(OSError):
        client.stream.sock.send(refusal(error, error.status))
    client.stream.close()
