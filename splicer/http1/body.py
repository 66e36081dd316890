"""Reading a message's body: with a Content-Length, or chunked (RFC 9112 §6, §7.1).

h11 frames the bodies that we write, but does not read them: it takes 4 µs for each chunk and 1.5 µs for each trailer
field, whatever their size, and the sender chooses their number.
"""

from __future__ import annotations

import re
from typing import Protocol

from attrs import frozen

from splicer.errors import BadAnswer, BadRequest, HeadTooLarge
from splicer.http1.head import FIELD_LINES, field_fault, forbidden_byte, split_fields
from splicer.model import Headers, RequestHead

MOST_TRAILERS = 100
_MOST_CHUNKS = 64  # chunks read at a time, whatever their size: other tasks wait meanwhile
_SIZE = rb"([0-9A-Fa-f]{1,16})[\t ]{0,8}+(?:;[\t\x20-\x7e\x80-\xff]{0,999}+)?+\r\n"
_LONGEST_SIZE = 16 + 8 + 1000 + 2  # bytes that `_SIZE` matches at most; hardly any sender uses chunk extensions
_FIRST_SIZE = re.compile(_SIZE)
_NEXT_SIZE = re.compile(rb"\r\n" + _SIZE)
_FIELD_LINES = re.compile(FIELD_LINES)


@frozen
class EndOfBody:
    """The body is complete.

    Args:
        trailers: the trailer fields of a chunked body.
    """

    trailers: Headers = ()


WITHOUT_TRAILERS = EndOfBody()
"""The end of most bodies; one for all, since each request without a body needs it."""


class BodyReader(Protocol):
    """Decodes a body: framed bytes in, content out."""

    end: EndOfBody | None

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        ...

    def read(self) -> bytes:
        """The content that is complete so far; b"" while more bytes are needed, and after the `end`."""
        ...

    @property
    def trailing(self) -> bytes:
        """Bytes received after the body, once `end` is set."""
        ...


def request_body(head: RequestHead, limit: int) -> BodyReader:
    """The reader of a request's body.

    Args:
        head: the request.
        limit: the most bytes that the trailers of a chunked body may have.
    """
    if head.chunked:
        return ChunkedBody(limit, BadRequest, HeadTooLarge)
    return CountedBody(head.content_length or 0)


class CountedBody:
    """A body with a Content-Length.

    Args:
        length: bytes.
    """

    def __init__(self, length: int) -> None:
        self._left = length
        self._raw = b""
        self.end = None if length else WITHOUT_TRAILERS

    def feed(self, data: bytes) -> None:
        """See `BodyReader`."""
        self._raw += data

    def read(self) -> bytes:
        """See `BodyReader`."""
        data = self._raw[: self._left]
        if data:
            self._raw = self._raw[len(data) :]
            self._left -= len(data)
            if not self._left:
                self.end = WITHOUT_TRAILERS
        return data

    @property
    def trailing(self) -> bytes:
        """See `BodyReader`."""
        return self._raw


# Each byte is parsed once, except for the beginning of an incomplete size line, which is short.
class ChunkedBody:
    """A chunked body (RFC 9112 §7.1). Line ends are strict; chunk extensions are dropped.

    `read` raises one of the two given errors as soon as the bytes can't become a valid body.

    Args:
        limit: the most bytes that the trailers may have.
        malformed: raised for broken framing.
        too_large: raised for trailers over the limit, or more than `MOST_TRAILERS`.
    """

    def __init__(
        self,
        limit: int,
        malformed: type[BadRequest] | type[BadAnswer],
        too_large: type[HeadTooLarge] | type[BadAnswer],
    ) -> None:
        self._limit = limit
        self._malformed = malformed
        self._too_large = too_large
        self._raw = b""
        self._size = _FIRST_SIZE  # then _NEXT_SIZE, which begins with the line end of the chunk before it
        self._left = 0  # bytes of the current chunk
        self._last = False  # the chunk of size 0 has come: trailers follow
        self._searched = 0  # bytes of the trailers that were checked already
        self.end: EndOfBody | None = None

    def feed(self, data: bytes) -> None:
        """See `BodyReader`."""
        self._raw += data

    def read(self) -> bytes:
        """See `BodyReader`; one call reads at most `_MOST_CHUNKS`, so that other tasks don't wait long.

        Valid content is returned first; the next call raises for a fault behind it.
        """
        raw, at, pieces = self._raw, 0, list[bytes]()
        while not self._last and len(pieces) < _MOST_CHUNKS:
            if not self._left:
                size = self._size.match(raw, at)
                if size is None:
                    if not pieces:
                        self._check_size(raw[at : at + 2 + _LONGEST_SIZE])
                    break
                at = size.end()
                self._size = _NEXT_SIZE
                self._left = int(size[1], 16)
                self._last = not self._left
            elif piece := raw[at : at + self._left]:
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
            else:
                break
        self._raw = raw[at:]
        if self._last and self.end is None and (not pieces or self._raw.startswith(b"\r\n")):
            self._read_trailers()
        return b"".join(pieces)

    @property
    def trailing(self) -> bytes:
        """See `BodyReader`."""
        return self._raw

    def _check_size(self, line: bytes) -> None:
        if self._size is _NEXT_SIZE:
            if not b"\r\n".startswith(line[:2]):
                raise self._malformed("chunked body: a chunk is longer than its size")
            line = line[2:]
        text, ended, _ = line.partition(b"\n")
        if ended or len(text) >= _LONGEST_SIZE:
            raise self._malformed(f"chunked body: size {text[:40]!r}")

    def _read_trailers(self) -> None:
        raw = self._raw
        if raw.startswith(b"\r\n"):
            self.end, self._raw = WITHOUT_TRAILERS, raw[2:]
            return
        end = raw.find(b"\r\n\r\n", max(0, self._searched - 3))
        section = raw if end < 0 else raw[: end + 2]
        if section.count(b"\r\n") > MOST_TRAILERS:
            raise self._too_large(f"more than {MOST_TRAILERS} trailer fields")
        if len(section) > self._limit:
            raise self._too_large(f"trailers over {self._limit} bytes")
        if forbidden_byte(section, max(0, self._searched - 2)):
            raise self._malformed("chunked body: malformed trailers")
        self._searched = len(section)
        if end < 0:
            return
        lines = b"-\r\n" + section + b"\r\n"  # the functions for heads skip the first line
        if not _FIELD_LINES.fullmatch(section):
            raise self._malformed(f"chunked body: {field_fault(lines)}")
        self.end, self._raw = EndOfBody(split_fields(lines)), raw[end + 4 :]
