"""One GET to the API server, over h11: an answer as a whole, or line by line for as long as the server writes.

No library is used for it: those that there are for Trio ask again for ever for what is gone, or lose what was deleted
meanwhile (docs/design.md).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import cast

import h11
import trio
from attrs import frozen

from splicer.discovery.failures import ApiFailure
from splicer.discovery.place import Place
from splicer.net.options import set_tcp_options

LONGEST_LINE = 4 * 1024 * 1024  # bytes of one event; a slice of 1000 endpoints has 300 KB
LARGEST_BODY = 16 * 1024 * 1024  # bytes of one list; one of 10,000 endpoints has 3.4 MiB, and takes 13 to read
_READ_BYTES = 64 * 1024

Connect = Callable[[Place], Awaitable[trio.abc.Stream]]


class Answer:
    """An answer whose head has been read; the caller closes it.

    Its methods raise `ApiFailure` when the connection breaks before the end, or when what comes is no HTTP. They may be
    cancelled and called again.
    """

    def __init__(self, stream: trio.abc.Stream, connection: h11.Connection, head: h11.Response) -> None:
        self.status = head.status_code
        self._headers = dict(head.headers)
        self._stream = stream
        self._connection = connection
        self._buffer = bytearray()
        self._searched = 0  # so many bytes of the buffer have no newline

    @property
    def retry_after(self) -> float:
        """Seconds that the server asks the client to wait; 0 if it doesn't."""
        text = self._headers.get(b"retry-after", b"")
        return float(text) if text.isdigit() else 0.0

    async def line(self) -> bytes | None:
        """The next line without its end; None at the end of the answer."""
        while (at := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            if self._searched > LONGEST_LINE:
                raise ApiFailure("garbage", f"a line of more than {LONGEST_LINE} bytes")
            data = await self._more()
            if data is None:
                if self._buffer:
                    raise ApiFailure("garbage", "the answer ends within a line")
                return None
            self._buffer += data
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        self._searched = 0
        return line

    async def body(self, largest: int = LARGEST_BODY) -> bytes:
        """The whole body; it raises `ApiFailure` if that has more bytes than `largest`."""
        while (data := await self._more()) is not None:
            self._buffer += data
            if len(self._buffer) > largest:
                raise ApiFailure("garbage", f"an answer of more than {largest} bytes")
        return bytes(self._buffer)

    async def aclose(self) -> None:
        """Close the connection at once."""
        await trio.aclose_forcefully(self._stream)

    async def _more(self) -> bytes | None:
        while True:
            event = await _next_event(self._stream, self._connection)
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                return None


async def connect(place: Place) -> trio.abc.Stream:
    """Connect over TCP, and TLS if the place wants it; the deadline is the caller's.

    Raises:
        ApiFailure: it didn't work.
    """
    context = place.context() if place.tls else None
    try:
        stream = await trio.open_tcp_stream(place.host, place.port)
    except OSError as error:
        raise ApiFailure("connect", f"{place.authority}: {error.strerror or error}") from None
    try:
        set_tcp_options(cast("socket.socket", stream.socket))  # trio's sockets have the method that is needed
        if context is None:
            return stream
        encrypted = trio.SSLStream(stream, context, server_hostname=place.host)
        try:
            await encrypted.do_handshake()
        except trio.BrokenResourceError as error:
            raise _tls_failure(place, error.__cause__) from None
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return encrypted


@frozen
class Api:
    """An API server.

    Args:
        place: where it is.
        connect: connects to it; tests have another one.
    """

    place: Place
    connect: Connect = connect

    async def get(self, target: str) -> Answer:
        """Ask on a new connection, with the token that is in the file now; the deadline is the caller's.

        Args:
            target: path and query, with the path of `place` left out.

        Raises:
            ApiFailure: there is no answer.
        """
        headers = [("Host", self.place.authority), ("Accept", "application/json"), ("User-Agent", "splicer-discovery")]
        if (token := self.place.token()) is not None:
            headers.append(("Authorization", f"Bearer {token}"))
        stream = await self.connect(self.place)
        try:
            connection = h11.Connection(h11.CLIENT)
            request = h11.Request(method="GET", target=self.place.path + target, headers=headers)
            data = (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
            try:
                await stream.send_all(data)
            except trio.BrokenResourceError as error:
                raise _broken(error) from None
            while not isinstance(head := await _next_event(stream, connection), h11.Response):
                pass
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return Answer(stream, connection, head)


async def _next_event(stream: trio.abc.Stream, connection: h11.Connection) -> object:
    try:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
    except h11.RemoteProtocolError as error:
        ended = connection.trailing_data[1]
        raise ApiFailure("connect" if ended else "garbage", f"no whole answer: {error}") from None
    except trio.BrokenResourceError as error:
        raise _broken(error) from None
    return event


def _broken(error: trio.BrokenResourceError) -> ApiFailure:
    return ApiFailure("connect", f"the connection broke: {error.__cause__ or error}")


def _tls_failure(place: Place, cause: BaseException | None) -> ApiFailure:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ApiFailure("tls", f"{place.authority}: {cause.verify_message}")
    if isinstance(cause, ssl.SSLEOFError) or not isinstance(cause, ssl.SSLError):
        return ApiFailure("connect", f"{place.authority}: the connection broke in the TLS handshake")
    return ApiFailure("tls", f"{place.authority}: {cause.reason or cause}")
