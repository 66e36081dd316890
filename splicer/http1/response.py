"""Parsing a pod's answer: raw bytes in, heads and body out; and framing the request body for the pod."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property, lru_cache

import h11
from attrs import evolve

from splicer.errors import BadAnswer, PodClosed
from splicer.http1.body import WITHOUT_TRAILERS, ChunkedBody, EndOfBody
from splicer.http1.head import (
    FIELD_LINES,
    body_framing,
    check_field_count,
    field_fault,
    forbidden_byte,
    framing_fields,
    merge_lengths,
    split_fields,
)
from splicer.http1.headers import forwarded_trailers
from splicer.http1.lists import check_lists, list_members
from splicer.model import Header, Headers, RequestHead, ResponseHead

_HEAD = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?+\r\n" + FIELD_LINES + rb"\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: .*+)?", re.DOTALL)
_BEGINNING = b"HTTP/1."
_MOST_INFORMATIONAL = 16  # 1xx heads before the final answer; each may become a write to the client
BODILESS = frozenset({204, 304})  # statuses that no body follows, whatever the head says (RFC 9112 §6.3)


class ResponseParser:
    """One exchange with a pod, from the sent request to the end of the answer.

    Args:
        request: the client's; its method and framing decide how the answer is framed.
        limit: the most bytes that a response head may have.
        protocol: the upgrade that was asked for, or None.
    """

    def __init__(self, request: RequestHead, limit: int, *, protocol: str | None = None) -> None:
        self._request = request
        self._limit = limit
        self._protocol = protocol
        self._raw = b""
        self._searched = 0
        self._eof = False
        self._chunks: ChunkedBody | None = None  # gets the bytes after the head; without it they stay in `_raw`
        self._left: int | None = None  # bytes left of the body; None: it is chunked, or ends with the stream
        self._persistent = False
        self._informational = 0  # heads so far
        self._end: EndOfBody | None = None

    # Made only if there is a request body to write: making it is most of the work of an exchange.
    @cached_property
    def _h11(self) -> h11.Connection:
        request, connection = self._request, h11.Connection(h11.CLIENT, max_incomplete_event_size=self._limit)
        connection.send(_sent(request.method, request.content_length, request.chunked))
        return connection

    def body(self, data: bytes) -> bytes:
        """Frame a piece of the request body."""
        return self._h11.send(h11.Data(data=data))

    def end_body(self, trailers: Iterable[Header] = ()) -> bytes:
        """Frame the end of the request body (b"" without one); only a chunked body carries trailers."""
        if not self._request.has_body:
            return b""
        kept = forwarded_trailers(trailers) if self._request.chunked else []
        return self._h11.send(h11.EndOfMessage(headers=kept))

    def feed(self, data: bytes) -> None:
        """Take bytes received from the pod."""
        if self._chunks is None:
            self._raw += data
        else:
            self._chunks.feed(data)

    def feed_eof(self) -> None:
        """Take the end of the pod's stream."""
        self._eof = True

    def next_head(self) -> ResponseHead | None:
        """Take the next head: any number of informational ones, then a final one or a 101.

        Returns:
            The head, or None while more bytes are needed.

        Raises:
            BadAnswer: the bytes are not one unambiguous HTTP/1.x head, or it is a 101 without an upgrade request, or
                the seventeenth informational head.
            PodClosed: the stream ended before the head was complete.
        """
        end = self._raw.find(b"\r\n\r\n", max(0, self._searched - 3)) + 4
        if end < 4:
            self._check_partial()
            return None
        raw, self._raw = self._raw[:end], self._raw[end:]
        self._searched = 0
        return self._parse(raw)

    def next_body(self) -> bytes | EndOfBody | None:
        """Take the next piece of the final response's body.

        Returns:
            Bytes, or `EndOfBody` (again and again once it is reached), or None while more bytes are needed.

        Raises:
            BadAnswer: the framing is broken, or the stream ended before the body did.
        """
        if self._end is not None:
            return self._end
        if self._chunks is not None:
            return self._next_chunks(self._chunks)
        # A body that isn't chunked has a number of bytes, and bytes beyond it are never taken.
        if data := self._raw[: self._left]:
            self._raw = self._raw[len(data) :]
            if self._left is not None:
                self._left -= len(data)
            return data
        if self._left == 0 or (self._left is None and self._eof):
            self._end = WITHOUT_TRAILERS
        elif self._eof:
            raise BadAnswer(f"closed {self._left} bytes before the end of the body")
        return self._end

    def _next_chunks(self, chunks: ChunkedBody) -> bytes | EndOfBody | None:
        if data := chunks.read():
            return data
        self._end = chunks.end
        if self._end is None and self._eof:
            raise BadAnswer("closed before the end of the chunked body")
        return self._end

    @property
    def complete(self) -> bool:
        """Whether `next_body` has already returned the whole body."""
        return self._left == 0 if self._chunks is None else self._chunks.end is not None

    @property
    def has_all(self) -> bool:
        """Whether the rest of an answer that tells its length has been received, and `next_body` needs no more."""
        return self._chunks is None and self._left is not None and len(self._raw) >= self._left

    @property
    def trailing(self) -> bytes:
        """Bytes received after the message; after a 101, the first ones of the tunnel."""
        return self._raw if self._chunks is None else self._chunks.trailing

    @property
    def finished(self) -> bool:
        """Whether request and answer are complete, the connection is open, and no bytes followed the answer."""
        if self._end is None or self._eof or self.trailing:
            return False
        return not self._request.has_body or self._h11.our_state is h11.DONE

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on the pod's connection."""
        return self.finished and self._persistent

    def _check_partial(self) -> None:
        raw = self._raw
        if len(raw) > self._limit:
            raise BadAnswer(f"response head over {self._limit} bytes")
        if not _BEGINNING.startswith(raw[: len(_BEGINNING)]):
            raise BadAnswer("no HTTP/1.x response")
        fault = forbidden_byte(raw, max(0, self._searched - 2))
        if fault:
            raise BadAnswer(fault)
        self._searched = len(raw)
        if self._eof:
            raise PodClosed(f"closed after {len(raw)} bytes of the response head")

    def _parse(self, raw: bytes) -> ResponseHead:
        if len(raw) > self._limit:
            raise BadAnswer(f"response head over {self._limit} bytes")
        check_field_count(raw, BadAnswer)
        accepted = _HEAD.fullmatch(raw)
        if accepted is None:
            raise BadAnswer(_diagnose(raw))
        minor, status, reason = accepted.groups()
        check_lists(raw, BadAnswer)
        if status == b"101" and (self._protocol is None or minor == b"0"):
            raise BadAnswer("a 101 that nobody asked for")

        head = ResponseHead(
            status=int(status),
            reason=reason or b"",
            version="1.1" if minor == b"1" else "1.0",
            headers=split_fields(raw),
        )
        if head.status < 200:  # no body follows, whatever its fields say (RFC 9112 §6.3); after a 101 HTTP is over
            self._informational += head.status != 101
            if self._informational > _MOST_INFORMATIONAL:
                raise BadAnswer(f"more than {_MOST_INFORMATIONAL} informational answers")
            return head
        fields = framing_fields(raw)
        if merge_lengths(fields):
            head = evolve(head, headers=_with_length(head.headers, fields[b"content-length"][0]))
        length, chunked = body_framing(fields, minor, BadAnswer)
        bodiless = self._request.method == "HEAD" or head.status in BODILESS
        self._left = 0 if bodiless else length
        self._persistent = minor == b"1" and b"close" not in list_members(fields.get(b"connection", ()))
        if chunked and not bodiless:
            self._chunks = ChunkedBody(self._limit, BadAnswer, BadAnswer)
            self._chunks.feed(self._raw)
            self._raw = b""
        return head


@lru_cache(maxsize=64)
def _sent(method: str, length: int | None, chunked: bool) -> h11.Request:
    """The parts of the request that h11 needs to frame the body."""
    fields = [("Host", "pod")]
    if chunked:
        fields.append(("Transfer-Encoding", "chunked"))
    elif length is not None:
        fields.append(("Content-Length", str(length)))
    return h11.Request(method=method, target="/", headers=fields)


def _with_length(headers: Headers, length: bytes) -> Headers:
    """The fields with this Content-Length in place of the first one, and without the others."""
    first = next(at for at, (name, _) in enumerate(headers) if name.lower() == b"content-length")
    rest = [header for header in headers[first + 1 :] if header[0].lower() != b"content-length"]
    return (*headers[:first], (headers[first][0], length), *rest)


def _diagnose(raw: bytes) -> str:
    fault = forbidden_byte(raw)
    if fault:
        return fault
    line, *_ = raw.partition(b"\r\n")
    if not _STATUS_LINE.fullmatch(line):
        return f"malformed status line {line[:40]!r}"
    return field_fault(raw)
