"""Strict checks of a raw head, shared by both legs: where it ends, its bytes, lines, fields and framing.

h11 accepts obs-folds, bare line feeds, two framings at once and a `Content-Length: 5, 5`. Request smuggling needs two
parsers that read such a head differently, so every head is checked here, byte by byte, before h11 sees it (RFC 9112
§2.2, §5, §6).
"""

from __future__ import annotations

import re

from splicer.errors import BadAnswer, BadRequest, HeadTooLarge, RequestLineTooLong
from splicer.model import Headers

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
FIELD_LINES = rb"(?:" + TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+"
# RFC 9112 §2.2 asks a server to skip "at least one" empty line before a request; without a bound, empty lines that come
# one by one would be scanned again and again.
LEADING_LINES = rb"(?:\r\n){0,8}+"
# A field takes some microseconds whatever its length, and all calls wait while a head is parsed: 32 KiB of "a:" are
# 8,000 fields. Envoy and HAProxy allow about 100; no legitimate client or pod sends as many.
MOST_FIELDS = 128
# Bytes without the line end; the same as nginx's limit. Matching, rewriting and logging each read the whole path.
LONGEST_LINE = 8192

_LEADING = re.compile(LEADING_LINES)
_BEGINNING = re.compile(LEADING_LINES + rb"(?:\r?\Z|[!#$%&'*+\-.^_`|~0-9A-Za-z])")
_ORDINARY = rb"[\t\x20-\x7e\x80-\xff]*+"
# Matches allowed bytes. A search for forbidden ones would start anew at each byte, and take twenty times as long.
_CLEAN = re.compile(rb"(?:(?<=\r)\n)?+(?:" + _ORDINARY + rb"\r\n(?![\t ]))*+" + _ORDINARY)
_NAME = re.compile(TOKEN)
_FRAMING = re.compile(
    rb"\r\n(?=[chtCHT])(host|connection|content-length|transfer-encoding):[\t ]*+([^\r]*+)", re.IGNORECASE
)
_FIELD = re.compile(rb"\r\n([^:\r]++):[\t ]*+([^\r]*+)")
_DIGITS = re.compile(rb"[0-9]{1,19}")
_MOST_BYTES = 2**63 - 1

FramingFields = dict[bytes, list[bytes]]


def find_head_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """Find where a request head ends.

    Args:
        buffer: from the first byte of the head (which may be a leading empty line).
        start: bytes that an earlier call has already searched.

    Returns:
        The index just past the blank line, or -1 while there is none.
    """
    found = buffer.find(b"\r\n\r\n", max(_first(buffer), start - 3))
    return -1 if found < 0 else found + 4


def _first(buffer: bytes | bytearray) -> int:
    """The index of the request line's first byte."""
    leading = _LEADING.match(buffer) if buffer.startswith(b"\r\n") else None
    return leading.end() if leading else 0


def check_partial(buffer: bytes | bytearray, limit: int, start: int = 0) -> None:
    """Refuse an incomplete request head as soon as no further byte can make it valid.

    Args:
        buffer: all received bytes of the head.
        limit: the most bytes a head may have.
        start: bytes that an earlier call has already checked, so that a slow drip costs no more than a burst.

    Raises:
        HeadTooLarge: it is over the limit.
        RequestLineTooLong: its first line is over `LONGEST_LINE`.
        BadRequest: no further byte can make it valid.
    """
    check_line_length(buffer)
    if len(buffer) > limit:
        raise HeadTooLarge(f"request head over {limit} bytes")
    if not _BEGINNING.match(buffer):
        raise BadRequest("a TLS handshake on a plain port" if buffer[0] == 0x16 else "no HTTP request line")
    fault = forbidden_byte(buffer, max(0, start - 2))
    if fault:
        raise BadRequest(fault)


def check_line_length(buffer: bytes | bytearray) -> None:
    """Check the length of a request's first line, complete or not.

    Raises:
        RequestLineTooLong: it is over `LONGEST_LINE`.
    """
    if len(buffer) > LONGEST_LINE + 1:
        first = _first(buffer)
        if len(buffer) - first > LONGEST_LINE + 1 and buffer.find(b"\r\n", first, first + LONGEST_LINE + 2) < 0:
            raise RequestLineTooLong(f"request line over {LONGEST_LINE} bytes")


def check_field_count(raw: bytes | bytearray, error: type[HeadTooLarge] | type[BadAnswer]) -> None:
    """Refuse a complete head with too many field lines, before any code parses each of them.

    Args:
        raw: the head, to its blank line inclusive.
        error: raised when there are more than `MOST_FIELDS`.
    """
    if raw.count(b"\r\n") <= MOST_FIELDS + 2:  # the first line, the fields, the blank line; perhaps empty lines before
        return
    fields = raw.count(b"\r\n", _first(raw)) - 2
    if fields > MOST_FIELDS:
        raise error(f"head of {fields} fields, {MOST_FIELDS} allowed")


def forbidden_byte(buffer: bytes | bytearray, start: int = 0) -> str | None:
    """Name the fault in the bytes of a head (complete or not); None: there is none."""
    clean = _CLEAN.match(buffer, start)
    at = clean.end() if clean else start
    odd = bytes(buffer[at : at + 2])
    if odd in (b"", b"\r"):
        return None
    match odd[:1]:
        case b"\n":
            return "bare LF in the head"
        case b"\r":
            return "obsolete line folding in the head" if odd == b"\r\n" else "bare CR in the head"
        case b"\0":
            return "NUL in the head"
        case byte:
            return f"control character 0x{byte[0]:02x} in the head"


def field_fault(raw: bytes | bytearray) -> str:
    """Name the fault in a complete head whose first line and bytes are valid (RFC 9112 §5)."""
    for line in raw.strip(b"\r\n").split(b"\r\n")[1:]:
        name, colon, _ = line.partition(b":")
        if not colon:
            return "field line without a colon"
        if not name:
            return "field without a name"
        if name.endswith((b" ", b"\t")):
            return f"space before the colon of {bytes(name[:40])!r}"
        if not _NAME.fullmatch(name):
            return f"field name {bytes(name[:40])!r} is no token"
    return "malformed field line"


def split_fields(raw: bytes) -> Headers:
    """Split a head whose lines are all known to be well formed into its fields, unchanged."""
    fields = _FIELD.findall(raw)
    if b" \r" in raw or b"\t\r" in raw:
        fields = [(name, value.rstrip(b" \t")) for name, value in fields]
    return tuple(fields)


def framing_fields(raw: bytes) -> FramingFields:
    """Collect the values of Host, Connection, Content-Length and Transfer-Encoding unchanged (h11 rewrites some).

    Args:
        raw: a head whose every line is known to be well formed.
    """
    fields: FramingFields = {}
    for name, value in _FRAMING.findall(raw):
        fields.setdefault(name.lower(), []).append(value.rstrip(b" \t"))
    return fields


# Of answers only. A request with a repeated Content-Length is refused: it may be meant to be read in two ways, and no
# legitimate client sends it.
def merge_lengths(fields: FramingFields) -> bool:
    """Reduce a repeated Content-Length whose values are all equal to one value (RFC 9112 §6.3, the fifth rule).

    Args:
        fields: what `framing_fields` found; changed in place.

    Returns:
        Whether they were changed.
    """
    said = fields.get(b"content-length")
    if said is None:
        return False
    members = {member.strip(b" \t") for member in b",".join(said).split(b",")}
    if len(members) != 1 or said == [*members]:
        return False
    fields[b"content-length"] = [*members]
    return True


# Invariant: a head that passes has exactly one framing, and every parser reads the same one.
def body_framing(
    fields: FramingFields, minor: bytes, error: type[BadRequest] | type[BadAnswer]
) -> tuple[int | None, bool]:
    """Decide how the body is framed (RFC 9112 §6.1 to §6.3).

    Args:
        fields: what `framing_fields` found.
        minor: the version's second digit, b"0" or b"1".
        error: raised when the framing is invalid or ambiguous.

    Returns:
        The Content-Length in bytes, or None; and whether the body is chunked.
    """
    codings = fields.get(b"transfer-encoding")
    lengths = fields.get(b"content-length")
    if codings is not None:
        if lengths is not None:
            raise error("both Content-Length and Transfer-Encoding")
        if minor == b"0":
            raise error("Transfer-Encoding in HTTP/1.0")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise error("Transfer-Encoding other than one chunked")
        return None, True
    if lengths is None:
        return None, False
    if len(lengths) != 1:
        raise error("more than one Content-Length")
    if not _DIGITS.fullmatch(lengths[0]) or int(lengths[0]) > _MOST_BYTES:
        raise error(f"Content-Length {lengths[0][:40]!r}")
    return int(lengths[0]), False
