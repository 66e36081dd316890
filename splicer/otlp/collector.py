"""The connection to a collector: HTTP/1.1, one request after another, each within its deadline."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import h11
import trio
from attrs import frozen

from splicer import __version__
from splicer.config.tracing import Collector

_TIMEOUT = 10.0  # seconds for a whole request, with its lookup, its connection and its answer
_MOST_HEAD, _MOST_BODY = 16 * 1024, 64 * 1024  # bytes of an answer
_PIECE = 16 * 1024  # bytes

Headers = tuple[tuple[str, str], ...]
Stream = trio.abc.Stream


@frozen
class Answer:
    """A collector's answer.

    Args:
        status: of HTTP.
        retry_after: seconds after which it wants to be asked again; None: it says nothing.
        body: the whole body.
    """

    status: int
    retry_after: float | None
    body: bytes


class CollectorFailed(Exception):
    """There is no answer; the text says why."""


class CollectorClient:
    """Sends requests to a collector, and keeps the connection for the next one."""

    def __init__(self) -> None:
        self._connected: tuple[Collector, Stream, h11.Connection] | None = None
        self._tls: ssl.SSLContext | None = None

    async def send_spans(self, collector: Collector, headers: Headers, body: bytes, *, gzip: bool) -> Answer:
        """Send a batch.

        Args:
            collector: its address.
            headers: further header fields.
            body: an encoded ExportTraceServiceRequest.
            gzip: whether it is compressed.

        Raises:
            CollectorFailed: it can't be reached, or hasn't answered in time, or its answer is broken.
        """
        fields = [
            ("Host", _host(collector)),
            ("User-Agent", f"splicer/{__version__}"),
            ("Content-Type", "application/x-protobuf"),
            *([("Content-Encoding", "gzip")] if gzip else ()),
            ("Content-Length", str(len(body))),
            *headers,
        ]
        request = h11.Request(method="POST", target=collector.target, headers=fields)
        try:
            with trio.fail_after(_TIMEOUT):
                return await self._send(collector, request, body)
        except trio.TooSlowError:
            raise CollectorFailed(f"no answer within {_TIMEOUT:g} s") from None
        except (OSError, UnicodeError, trio.BrokenResourceError, h11.ProtocolError) as error:
            raise CollectorFailed(_why(error)) from error

    # An idle connection may be closed by the other side at any time: then the request goes out once more. A collector
    # that got it twice has two spans with one id, which is better than none.
    async def _send(self, collector: Collector, request: h11.Request, body: bytes) -> Answer:
        if self._connected is not None and self._connected[0] != collector:
            await self.aclose()
        if self._connected is not None:
            try:
                return await self._roundtrip(*self._connected[1:], request, body)
            except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
                pass  # it was closed meanwhile; see above
        stream, connection = await self._connect(collector), h11.Connection(h11.CLIENT, _MOST_HEAD)
        self._connected = collector, stream, connection
        return await self._roundtrip(stream, connection, request, body)

    async def _connect(self, collector: Collector) -> Stream:
        stream = await trio.open_tcp_stream(collector.host, collector.port)
        if not collector.secure:
            return stream
        try:
            # The authorities of OpenSSL's defaults: SSL_CERT_FILE and SSL_CERT_DIR name others.
            self._tls = self._tls or ssl.create_default_context()
            secure = trio.SSLStream(stream, self._tls, server_hostname=collector.host, https_compatible=True)
            await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secure

    async def _roundtrip(self, stream: Stream, connection: h11.Connection, request: h11.Request, body: bytes) -> Answer:
        done = False
        try:
            await stream.send_all(b"".join((_sent(connection, request), _sent(connection, h11.Data(data=body)))))
            _sent(connection, h11.EndOfMessage())
            answer = await _whole_answer(stream, connection)
            done = connection.our_state is connection.their_state is h11.DONE
        finally:
            if not done:
                self._connected = None
                await trio.aclose_forcefully(stream)
        if done:
            connection.start_next_cycle()
        return answer

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connected is not None:
            _, stream, _ = self._connected
            self._connected = None
            await trio.aclose_forcefully(stream)  # the answer was there: there is nothing to say good-bye for


async def _whole_answer(stream: Stream, connection: h11.Connection) -> Answer:
    """The answer, at most `_MOST_BODY` of it: a longer one is cut, and the connection can't be used again."""
    head: h11.Response | None = None
    body = bytearray()
    while len(body) <= _MOST_BODY:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_PIECE)))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed) or event is h11.PAUSED:
            break
    if head is None:
        raise CollectorFailed("it closed the connection without an answer")
    fields = dict(head.headers)
    return Answer(head.status_code, _seconds(fields.get(b"retry-after")), bytes(body))


def _sent(connection: h11.Connection, event: h11.Event) -> bytes:
    return connection.send(event) or b""


def _host(collector: Collector) -> str:
    host = f"[{collector.host}]" if ":" in collector.host else collector.host
    return host if collector.port == (443 if collector.secure else 80) else f"{host}:{collector.port}"


def _seconds(value: bytes | None) -> float | None:
    """The value of Retry-After (RFC 9110 §10.2.3) in seconds; None: there is none that can be read."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:20])
    from email.utils import parsedate_to_datetime  # half a megabyte that hardly a collector needs

    try:
        when = parsedate_to_datetime(text)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _why(error: Exception) -> str:
    """One line about an error; Trio's own say it in their cause."""
    cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) and error.__cause__ else error
    if isinstance(cause, ExceptionGroup):
        cause = cause.exceptions[0]
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(text)[:200]
