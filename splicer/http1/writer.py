"""The answer that the client gets: our own head, h11's framing."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import h11

from splicer.errors import BadAnswer
from splicer.http1.headers import forwarded_headers, forwarded_trailers, serialize_fields
from splicer.model import Header, Headers, RequestHead

_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_LENGTH = frozenset({b"content-length"})
_CLOSE: Header = (b"Connection", b"close")
_CHUNKED: Header = (b"Transfer-Encoding", b"chunked")
_BODILESS = frozenset({204, 304})


class ResponseWriter:
    """One answer to one request.

    Args:
        server: the connection that `parse_request` returned with the request; it decides the framing and
            whether the client's connection persists.
        request: the client's.
    """

    def __init__(self, server: h11.Connection, request: RequestHead) -> None:
        self._server = server
        self._request = request
        self._chunked = False

    def informational(self, status: int, reason: bytes, headers: Headers) -> bytes:
        """Write a 1xx head; b"" for an HTTP/1.0 client, which knows none (RFC 9110 §15.2)."""
        if self._request.version == "1.0":
            return b""
        self._server.send(h11.InformationalResponse(status_code=status, headers=[]))
        return _head(status, reason, forwarded_headers(headers, drop=_LENGTH))

    # The head never names a framing other than the one h11 goes on to use.
    def head(self, status: int, reason: bytes, headers: Headers, *, close: bool) -> bytes:
        """Write the final head.

        Args:
            status: 200 to 999.
            reason: the phrase as the pod had it.
            headers: the pod's; a Content-Length in it was judged by `ResponseParser`.
            close: the connection ends after this answer.
        """
        fields = forwarded_headers(headers, drop=_LENGTH if status == HTTPStatus.NO_CONTENT else frozenset())
        bodiless = self._request.method == "HEAD" or status in _BODILESS
        told = [header for header in fields if header[0].lower() == b"content-length"]
        if close:
            told.append(_CLOSE)
        heard = self._server.send(h11.Response(status_code=status, headers=told))
        if not bodiless and b"\r\nTransfer-Encoding: chunked\r\n" in heard:
            self._chunked = True
            fields.append(_CHUNKED)
        if b"\r\nConnection: close\r\n" in heard:
            fields.append(_CLOSE)
        return _head(status, reason, fields)

    def body(self, data: bytes) -> bytes:
        """Frame a piece of the body.

        Raises:
            BadAnswer: it is more than the head announced.
        """
        return self._frame(h11.Data(data=data))

    def end(self, trailers: Iterable[Header] = ()) -> bytes:
        """Frame the end of the body; only a chunked one carries trailers.

        Raises:
            BadAnswer: the body is shorter than the head announced.
        """
        return self._frame(h11.EndOfMessage(headers=forwarded_trailers(trailers) if self._chunked else []))

    @property
    def persistent(self) -> bool:
        """Whether the client's connection can take another request: both messages are complete, nobody closes."""
        return self._server.our_state is h11.DONE and self._server.their_state is h11.DONE

    def _frame(self, event: h11.Data | h11.EndOfMessage) -> bytes:
        try:
            return self._server.send(event)
        except h11.LocalProtocolError as error:
            raise BadAnswer(str(error)) from error


def simple_response(
    status: int,
    body: bytes,
    content_type: str,
    extra: Headers = (),
    *,
    head_only: bool = False,
    close: bool = True,
) -> bytes:
    """Write a whole answer of the proxy's own.

    Args:
        status: 200 to 999.
        body: left out for `head_only`, 204 and 304.
        content_type: of the body.
        extra: further fields.
        head_only: the request was a HEAD.
        close: the connection ends after this answer.
    """
    fields: list[Header] = []
    if status not in _BODILESS:
        fields.append((b"Content-Type", content_type.encode("latin-1")))
        fields.append((b"Content-Length", b"%d" % len(body)))
    fields += extra
    if close:
        fields.append(_CLOSE)
    head = _head(status, _PHRASES.get(status, b""), fields)
    return head if head_only or status in _BODILESS else head + body


def _head(status: int, reason: bytes, fields: Iterable[Header]) -> bytes:
    return b"HTTP/1.1 %d %s\r\n" % (status, reason) + serialize_fields(fields)
