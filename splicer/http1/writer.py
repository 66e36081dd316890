"""Writing the answer to the client: the head is written here, h11 frames the body."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import h11

from splicer.edits import FieldEdits
from splicer.errors import BadAnswer
from splicer.http1.headers import forwarded_headers, forwarded_trailers, serialize_fields
from splicer.http1.lists import list_members
from splicer.http1.response import BODILESS
from splicer.model import Header, Headers, RequestHead

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_LENGTH = frozenset({b"content-length"})
_LENGTH_NAME = len(b"content-length")
_CLOSE: Header = (b"Connection", b"close")
_CHUNKED: Header = (b"Transfer-Encoding", b"chunked")


class ResponseWriter:
    """One answer to one request.

    Args:
        server: the h11 connection that `parse_request` returned with the request; it frames a body without a length.
        request: the client's.
    """

    def __init__(self, server: h11.Connection, request: RequestHead) -> None:
        self._server = server
        self._request = request
        self._left: int | None = None  # bytes of the body; None: h11 frames it
        self._chunked = False
        self._close = False
        self._complete = False
        self._edits: FieldEdits | None = None

    def informational(self, status: int, reason: bytes, headers: Headers) -> bytes:
        """Write a 1xx head; b"" for an HTTP/1.0 client, which must not get one (RFC 9110 §15.2)."""
        if self._request.version == "1.0":
            return b""
        return _head(status, reason, forwarded_headers(headers, drop=_LENGTH))

    # Invariant: the head names the framing that `body` and `end` use.
    def head(
        self, status: int, reason: bytes, headers: Headers, *, close: bool, edits: FieldEdits | None = None
    ) -> bytes:
        """Write the final head.

        Args:
            status: 200 to 999.
            reason: the pod's reason phrase.
            headers: the pod's; `ResponseParser` has checked their Content-Length.
            close: the connection ends after this answer; it must unless the whole request was read.
            edits: the route's, for the trailers too; they name no field of the framing.
        """
        fields = forwarded_headers(headers, drop=_LENGTH if status == HTTPStatus.NO_CONTENT else frozenset())
        if edits is not None:
            fields = edits.apply(fields)
            self._edits = edits
        request = self._request
        self._close = close or request.version == "1.0" or _says_close(request.values(b"connection"))
        if request.method == "HEAD" or status in BODILESS:
            self._left = 0
        else:
            self._left = _length(fields)
        if self._left is None:
            self._server.send(h11.Response(status_code=status, headers=[]))
            self._chunked = request.version == "1.1"
        if status == HTTPStatus.UPGRADE_REQUIRED and (wanted := _upgrades(headers)):
            fields += [*wanted, (b"Connection", b"Upgrade")]
        if self._chunked:
            fields.append(_CHUNKED)
        if self._close:
            fields.append(_CLOSE)
        return _head(status, reason, fields)

    def body(self, data: bytes) -> bytes:
        """Frame a piece of the body.

        Raises:
            BadAnswer: the body is longer than the head announced.
        """
        if self._left is None:
            return self._server.send(h11.Data(data=data))
        self._left -= len(data)
        if self._left < 0:
            raise BadAnswer("the body is longer than announced")
        return data

    def end(self, trailers: Iterable[Header] = ()) -> bytes:
        """Frame the end of the body; only a chunked body carries trailers.

        Raises:
            BadAnswer: the body is shorter than the head announced.
        """
        if self._left:
            raise BadAnswer("the body is shorter than announced")
        self._complete = True
        if self._left is None:
            if self._edits is not None:
                trailers = self._edits.strip(trailers)
            return self._server.send(h11.EndOfMessage(headers=forwarded_trailers(trailers) if self._chunked else []))
        return b""

    @property
    def tells_length(self) -> bool:
        """Whether the client can tell a truncated answer from a complete one: by its length, or by its chunks."""
        return self._left is not None or self._request.version == "1.1"

    @property
    def persistent(self) -> bool:
        """Whether the client's connection can take another request: the answer is complete, and neither side closes."""
        return self._complete and not self._close


def simple_response(
    status: int,
    body: bytes,
    content_type: str,
    extra: Headers = (),
    *,
    head_only: bool = False,
    close: bool = True,
    edits: FieldEdits | None = None,
) -> bytes:
    """Write a whole answer of the proxy's own.

    Args:
        status: 200 to 999.
        body: left out for `head_only`, 204 and 304.
        content_type: of the body.
        extra: further fields.
        head_only: the request was a HEAD.
        close: the connection ends after this answer.
        edits: the route's.
    """
    fields: list[Header] = []
    if status not in BODILESS:
        fields.append((b"Content-Type", content_type.encode("latin-1")))
        fields.append((b"Content-Length", b"%d" % len(body)))
    fields += extra
    if edits is not None:
        fields = edits.apply(fields)
    if close:
        fields.append(_CLOSE)
    head = _head(status, _PHRASES.get(status, b""), fields)
    return head if head_only or status in BODILESS else head + body


def stream_head(content_type: str, extra: Headers = ()) -> bytes:
    """The head of an answer of the proxy's own whose body ends with the connection (RFC 9112 §6.3, point 8).

    Args:
        content_type: of the body.
        extra: further fields.
    """
    return _head(200, _PHRASES[200], [(b"Content-Type", content_type.encode("latin-1")), *extra, _CLOSE])


def relayed_response(
    status: int,
    phrase: bytes,
    headers: Headers,
    body: bytes | None,
    *,
    head_only: bool = False,
    close: bool = True,
    edits: FieldEdits | None = None,
) -> bytes:
    """Write a whole answer of another server.

    Args:
        status: 200 to 999.
        phrase: the reason phrase.
        headers: the fields as received; only end-to-end fields are forwarded.
        body: the whole body; None: it is left out, with the fields that describe it.
        head_only: the request was a HEAD.
        close: the connection ends after this answer.
        edits: the route's.
    """
    fields = [
        header
        for header in forwarded_headers(headers, drop=_LENGTH)
        if body is not None or not header[0].lower().startswith(b"content-")
    ]
    if edits is not None:
        fields = edits.apply(fields)
    if status not in BODILESS:
        fields.append((b"Content-Length", b"%d" % len(body or b"")))
    if close:
        fields.append(_CLOSE)
    head = _head(status, phrase, fields)
    return head if head_only or status in BODILESS else head + (body or b"")


def _says_close(connection: list[bytes]) -> bool:
    return bool(connection) and b"close" in list_members(connection)


def _length(fields: Iterable[Header]) -> int | None:
    """The number of bytes that a head announces; None: it doesn't."""
    for name, value in fields:
        if len(name) == _LENGTH_NAME and name.lower() == b"content-length":
            return int(value)
    return None


def _upgrades(headers: Headers) -> list[Header]:
    """The Upgrade fields that a 426 must have; as hop-by-hop fields they are not forwarded (RFC 9110 §15.5.22)."""
    return [header for header in headers if header[0].lower() == b"upgrade"]


def _head(status: int, reason: bytes, fields: Iterable[Header]) -> bytes:
    return b"HTTP/1.1 %d %s\r\n" % (status, reason) + serialize_fields(fields)
