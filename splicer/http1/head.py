"""The raw head: where it ends, and the strict reading that both legs share.

h11 takes obs-folds, bare line feeds, two framings at once and a `Content-Length: 5, 5`; two parsers that read
such a head differently are what request smuggling lives on. So every head is judged here, byte by byte,
before h11 sees it (RFC 9112 §2.2, §5, §6).
"""

from __future__ import annotations

import re

from splicer.errors import BadAnswer, BadRequest, HeadTooLarge, RequestLineTooLong
from splicer.model import Headers

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
FIELD_LINES = rb"(?:" + TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+"
# RFC 9112 §2.2 asks a server to skip "at least one" empty line before a request; the bound keeps a drip of
# them from being scanned over and over.
LEADING_LINES = rb"(?:\r\n){0,8}+"
# A field costs some microseconds however short it is, and all calls wait while a head is parsed: 32 KiB of "a:" are
# 8,000 fields. Envoy and HAProxy take about 100; no client or pod that means well has as many.
MOST_FIELDS = 128
# Bytes without the line's end; nginx's cap. A path is matched, rewritten and logged, and each step looks at all of it.
LONGEST_LINE = 8192

_LEADING = re.compile(LEADING_LINES)
_BEGINNING = re.compile(LEADING_LINES + rb"(?:\r?\Z|[!#$%&'*+\-.^_`|~0-9A-Za-z])")
_ORDINARY = rb"[\t\x20-\x7e\x80-\xff]*+"
# What may stand in a head. A search for what may not would try each byte anew, and cost twenty times as much.
_CLEAN = re.compile(rb"(?:(?<=\r)\n)?+(?:" + _ORDINARY + rb"\r\n(?![\t ]))*+" + _ORDINARY)
_NAME = re.compile(TOKEN)
_FRAMING = re.compile(rb"\r\n(host|content-length|transfer-encoding):[\t ]*+([^\r]*+)", re.IGNORECASE)
_DIGITS = re.compile(rb"[0-9]{1,19}")
_MOST_BYTES = 2**63 - 1

FramingFields = dict[bytes, list[bytes]]


def find_head_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """Find where a request head ends.

    Args:
        buffer: from the first byte of the head (which may be a leading empty line).
        start: bytes that an earlier call has searched already.

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
    """Refuse a request head without a blank line yet, as soon as none can make it valid.

    Args:
        buffer: all that came of the head.
        limit: the most bytes a head may have.
        start: bytes that an earlier call has judged already, so that a slow drip costs no more than a burst.

    Raises:
        HeadTooLarge: it is over the limit.
        RequestLineTooLong: its first line is over `LONGEST_LINE`.
        BadRequest: no further byte can mend it.
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
    """Refuse a request, complete or not, whose first line is over `LONGEST_LINE`.

    Raises:
        RequestLineTooLong: it is.
    """
    if len(buffer) > LONGEST_LINE + 1:
        first = _first(buffer)
        if len(buffer) - first > LONGEST_LINE + 1 and buffer.find(b"\r\n", first, first + LONGEST_LINE + 2) < 0:
            raise RequestLineTooLong(f"request line over {LONGEST_LINE} bytes")


def check_field_count(raw: bytes | bytearray, error: type[HeadTooLarge] | type[BadAnswer]) -> None:
    """Refuse a complete head with too many field lines, before anything looks at each of them.

    Args:
        raw: the head, to its blank line inclusive.
        error: what to raise when there are more than `MOST_FIELDS`.
    """
    fields = raw.count(b"\r\n", _first(raw)) - 2  # the first line and the blank one are none
    if fields > MOST_FIELDS:
        raise error(f"head of {fields} fields, {MOST_FIELDS} allowed")


def forbidden_byte(buffer: bytes | bytearray, start: int = 0) -> str | None:
    """Say what is wrong with the bytes of a head (complete or not), or None when nothing is."""
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
    """Say which field line makes a complete head malformed, when nothing before it does (RFC 9112 §5)."""
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
    """Split a head, whose every line is known to be well formed, into its fields as they came."""
    lines = [line.partition(b":") for line in raw.split(b"\r\n")[1:-2]]
    return tuple([(name, value.strip(b" \t")) for name, _, value in lines])


def framing_fields(raw: bytes) -> FramingFields:
    """Collect the values of Host, Content-Length and Transfer-Encoding as they came (h11 rewrites some).

    Args:
        raw: a head whose every line is known to be well formed.
    """
    fields: FramingFields = {}
    for name, value in _FRAMING.findall(raw):
        fields.setdefault(name.lower(), []).append(value.rstrip(b" \t"))
    return fields


# A request that says it twice is refused: it may mean to be read in two ways, and no client that means well sends it.
def merge_lengths(fields: FramingFields) -> bool:
    """Take a Content-Length of an answer that is said several times alike for one (RFC 9112 §6.3, the fifth rule).

    Args:
        fields: what `framing_fields` found; they have one length then.

    Returns:
        Whether it was so.
    """
    said = fields.get(b"content-length")
    if said is None:
        return False
    members = {member.strip(b" \t") for member in b",".join(said).split(b",")}
    if len(members) != 1 or said == [*members]:
        return False
    fields[b"content-length"] = [*members]
    return True


# A head that passes has exactly one framing, and every parser reads the same one.
def body_framing(
    fields: FramingFields, minor: bytes, error: type[BadRequest] | type[BadAnswer]
) -> tuple[int | None, bool]:
    """Judge how the body is framed (RFC 9112 §6.1 to §6.3).

    Args:
        fields: what `framing_fields` found.
        minor: the version's second digit, b"0" or b"1".
        error: what to raise.

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
