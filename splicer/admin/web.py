"""The admin address: HTTP/1.1 read as strictly as on the public one, and much less of it."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address

import trio

from splicer.admin.pages import Page, in_json
from splicer.control.log import Logger
from splicer.errors import (
    BodyTooLarge,
    ClientGone,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    SplicerError,
    TooManyConnections,
)
from splicer.http1.request import parse_request
from splicer.http1.writer import simple_response
from splicer.model import RequestHead, Respond
from splicer.net.listen import accept_forever
from splicer.net.stream import TcpStream
from splicer.routing.hosts import host_name
from splicer.session.client import ClientLeg
from splicer.session.respond import refusal, send_answer

_HEAD_SECONDS = 10.0
_KEEPALIVE_SECONDS = 75.0
_HEAD_BYTES = 16 * 1024
_MOST_CONNECTIONS = 64
_METHODS = ("GET", "HEAD")
_QUIET = 10.0  # seconds between two lines about the same exhaustion
_OWN_NAMES = frozenset({"localhost", host_name(socket.gethostname())})


class Web:
    """Serves pages.

    Args:
        pages: by path.
        log: is told what goes wrong here.
    """

    def __init__(self, pages: Mapping[str, Page], log: Logger) -> None:
        self._pages = pages
        self._log = log
        self._connections = 0
        self._exhausted_logged = -_QUIET

    async def serve(self, listeners: Sequence[socket.socket]) -> None:
        """Serve until cancelled.

        Args:
            listeners: from `net.bind`.
        """
        async with trio.open_nursery() as nursery:

            def accept(sock: socket.socket, peer: str) -> None:
                client = ClientLeg(TcpStream(sock), peer)
                if self._connections < _MOST_CONNECTIONS:
                    self._connections += 1
                    nursery.start_soon(self._converse, client)
                else:
                    _turn_away(client)

            for listener in listeners:
                nursery.start_soon(accept_forever, listener, accept, self._exhausted)

    async def _converse(self, client: ClientLeg) -> None:
        try:
            while await self._take_request(client):
                await trio.lowlevel.checkpoint()  # requests that are all there already make nobody else wait
                if not await client.wait_request(_KEEPALIVE_SECONDS):
                    return
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - a bug must not end the other connections
            text = "".join(traceback.format_exception(error))[-2000:]
            self._log.error("crash", process="admin", client=client.peer, error=repr(error), traceback=text)
        finally:
            self._connections -= 1
            client.stream.close()

    # Whether another request may follow: only if the next byte is surely its first.
    async def _take_request(self, client: ClientLeg) -> bool:
        head = None
        try:
            raw = await client.read_head(_HEAD_SECONDS, _HEAD_BYTES)
            if raw is None:
                return False
            head, _ = parse_request(raw, limit=_HEAD_BYTES)
            answer = self._page(head)()
        except ClientGone:
            raise
        except SplicerError as error:
            answer = _refused(error)
        more = head is not None and _persists(head)
        head_only = head is not None and head.method == "HEAD"
        data = simple_response(
            answer.status, answer.body, answer.content_type, answer.headers, head_only=head_only, close=not more
        )
        await send_answer(client, data)
        if not more:
            await client.linger()
        return more

    def _page(self, head: RequestHead) -> Page:
        if not _is_ours(head.host):
            raise Forbidden(f"Host {head.host!r}")
        if head.path not in self._pages:
            raise NotFound(head.path)
        if head.method not in _METHODS:
            raise MethodNotAllowed(_METHODS)
        if head.has_body:
            raise BodyTooLarge("a body where none is wanted")
        return self._pages[head.path]

    def _exhausted(self, error: OSError) -> None:
        now = trio.current_time()
        if now - self._exhausted_logged >= _QUIET:
            self._exhausted_logged = now
            self._log.error("accept_backs_off", error=error.strerror)


# A web page can have its own name resolve to this address, and its scripts may then read what comes from here (DNS
# rebinding). But their browser sends that name as Host, and an address can't be made to resolve elsewhere.
def _is_ours(host: str) -> bool:
    name = host_name(host)
    if name in _OWN_NAMES:
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _refused(error: SplicerError) -> Respond:
    allow = ((b"Allow", ", ".join(_METHODS).encode()),) if isinstance(error, MethodNotAllowed) else ()
    return in_json({"error": HTTPStatus(error.status).phrase.lower()}, error.status, allow)


def _persists(head: RequestHead) -> bool:
    if head.version != "1.1" or head.has_body:
        return False
    return not any(b"close" in value.lower() for value in head.values(b"connection"))


# The answer fits into the empty buffer of a new connection, and whoever has sent a request already may lose it.
def _turn_away(client: ClientLeg) -> None:
    error = TooManyConnections()
    with suppress(OSError):
        client.stream.sock.send(refusal(error, error.status))
    client.stream.close()
