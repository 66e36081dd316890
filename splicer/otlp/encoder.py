"""Spans in the encoding of OTLP: the messages of opentelemetry-proto's trace.proto, written by hand.

https://github.com/open-telemetry/opentelemetry-proto, https://protobuf.dev/programming-guides/encoding/. The format is
frozen; the library for it would take a hundred times the memory, and twice the time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache

Value = str | bool | int | float
Pairs = Iterable[tuple[str, Value]]

INTERNAL, SERVER, CLIENT = 1, 2, 3  # Span.SpanKind
_FIXED64, _DOUBLE, _FIXED32 = struct.Struct("<Q"), struct.Struct("<d"), struct.Struct("<I")
_INT64 = (1 << 64) - 1
_NANOSECONDS = 1_000_000_000
_ATTRIBUTE = b"\x4a"  # Span.attributes
SPAN = b"\x12"  # ScopeSpans.spans: with this each span begins
_MOST_PREPARED = 256  # bytes of a text
FAILED = b"\x7a\x02\x18\x02"  # Span.status = Status(code=STATUS_CODE_ERROR)
_SAMPLED, _KNOWN, _REMOTE = 0x01, 0x100, 0x200  # Span.flags: it is known whether the parent is remote, and it is
_FLAGS = b"\x85\x01" + _FIXED32.pack(_SAMPLED | _KNOWN)
_FLAGS_REMOTE = b"\x85\x01" + _FIXED32.pack(_SAMPLED | _KNOWN | _REMOTE)
_LINK = b"\x35" + _FIXED32.pack(_SAMPLED | _KNOWN)
_LINK_REMOTE = b"\x35" + _FIXED32.pack(_KNOWN | _REMOTE)
_START, _END = 0x39, 0x41  # tags
_TIMES = struct.Struct("<BQBQ")  # each with its tag in front
_TIMES_BYTES = _TIMES.size
_IDS, _IDS_OF_CHILD = 28, 38  # bytes of a span's ids with their tags


def varint(number: int) -> bytes:
    """A number of up to 64 bits; a negative one in two's complement."""
    if 0 <= number < 1 << 21:
        if number < 1 << 7:
            return bytes((number,))
        if number < 1 << 14:
            return bytes((number & 127 | 128, number >> 7))
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))
    number &= _INT64
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_MOST_LENGTHS = 1024
_LENGTHS = tuple(varint(length) for length in range(_MOST_LENGTHS))


def _length(length: int) -> bytes:
    return _LENGTHS[length] if length < _MOST_LENGTHS else varint(length)


def attributes(pairs: Pairs, tag: bytes = _ATTRIBUTE) -> bytes:
    """Attributes, as fields of a span.

    Args:
        pairs: names and values.
        tag: the field's number and type; the default is that of a span.
    """
    return b"".join([attribute(name, value, tag) for name, value in pairs])


def attribute(name: str, value: Value, tag: bytes = _ATTRIBUTE) -> bytes:
    """One attribute; see `attributes`."""
    return _field(tag, _field(b"\x0a", _utf8(name)) + _field(b"\x12", _any(value)))


# What is in front of the value is made once for each length that it may have: a sixth of the time of `attribute`.
def text_attribute(name: str, begin: str = "") -> Callable[[str], bytes]:
    """A function that makes the attribute of this name with any text.

    Args:
        name: the attribute's.
        begin: what each value begins with, without being told.
    """
    before = tuple(attribute(name, begin + " " * length)[: -length or None] for length in range(_MOST_PREPARED))

    def made(text: str) -> bytes:
        data = text.encode("utf-8", "replace")
        return before[len(data)] + data if len(data) < _MOST_PREPARED else attribute(name, begin + text)

    return made


def number_attribute(name: str) -> Callable[[int], bytes]:
    """A function that makes the attribute of this name with any integer of 64 bits."""
    before = (b"", *(attribute(name, 1 << min(63, 7 * length - 1))[:-length] for length in range(1, 11)))

    def made(number: int) -> bytes:
        data = varint(number)
        return before[len(data)] + data

    return made


def float_attributes(first: str, second: str) -> Callable[[float, float], bytes]:
    """A function that makes the attributes of these names with any two floating-point numbers."""
    one, other = (attribute(name, 0.0)[: -_DOUBLE.size] for name in (first, second))
    pack = struct.Struct(f"<{len(one)}sd{len(other)}sd").pack
    return lambda number, another: pack(one, number, other, another)


def encode_span(
    trace_id: str, span_id: str, parent: str, epoch: int, started: float, ended: float, more: bytes
) -> bytes:
    """A span, as a field of ScopeSpans.

    Args:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent: the same; "": it is the first of its trace.
        epoch: the zero of the clock of both times, in nanoseconds since 1970.
        started: seconds.
        ended: seconds; one that is earlier counts as none.
        more: its other fields, in any order: `named`, `attributes`, `trace_state`, `event_at`, `linked`, `FAILED`.

    Raises:
        ValueError: an id is none.
    """
    ids = bytes.fromhex(f"0a10{trace_id}1208{span_id}2208{parent}" if parent else f"0a10{trace_id}1208{span_id}")
    if len(ids) != (_IDS_OF_CHILD if parent else _IDS):  # the collector could read nothing of the batch
        raise ValueError(f"no ids of a span: {trace_id!r}, {span_id!r}, {parent!r}")
    start = end = epoch + int(started * _NANOSECONDS)
    if ended > started:
        end = epoch + int(ended * _NANOSECONDS)
    length = len(ids) + len(more) + _TIMES_BYTES
    size = _LENGTHS[length] if length < _MOST_LENGTHS else varint(length)
    return b"\x12%b%b%b%b" % (size, ids, _TIMES.pack(_START, start, _END, end), more)


def nanoseconds(epoch: int, seconds: float) -> int:
    """A time of a clock in nanoseconds since 1970.

    Args:
        epoch: the clock's zero, in nanoseconds since 1970.
        seconds: the time.
    """
    return epoch + int(seconds * _NANOSECONDS)


@lru_cache(maxsize=1024)
def named(name: str, kind: int, *, remote: bool = False) -> bytes:
    """The name of a span, what it is, and its flags.

    Args:
        name: from the configuration, or fixed.
        kind: INTERNAL, SERVER or CLIENT.
        remote: whether its parent is another program's.
    """
    return b"\x2a%b\x30%b%b" % (_length_and(name), _LENGTHS[kind], _FLAGS_REMOTE if remote else _FLAGS)


def trace_state(state: str) -> bytes:
    """The tracestate of a span; "": it has none."""
    return _field(b"\x1a", _utf8(state)) if state else b""


def event_at(name: str) -> Callable[[int], bytes]:
    """A function that makes the event of this name at a time, in nanoseconds since 1970."""
    after = b"\x12" + _length_and(name)
    before = b"\x5a%b\x09" % varint(1 + _FIXED64.size + len(after))
    return lambda when: before + _FIXED64.pack(when) + after


def _length_and(name: str) -> bytes:
    text = _utf8(name)
    return _length(len(text)) + text


def linked(trace_id: str, span_id: str, state: str = "", *, remote: bool = False) -> bytes:
    """A link of a span to another one.

    Args:
        trace_id: the other's, 32 hexadecimal digits.
        span_id: the other's, 16 hexadecimal digits.
        state: its tracestate.
        remote: whether another program has made it.

    Raises:
        ValueError: an id is none.
    """
    ids = bytes.fromhex(f"0a10{trace_id}1208{span_id}")
    if len(ids) != _IDS:
        raise ValueError(f"no ids of a link: {trace_id!r}, {span_id!r}")
    flags = _LINK_REMOTE if remote else _LINK  # whether a stranger samples isn't known
    if not state:
        return b"\x6a\x21%b%b" % (ids, flags)
    more = trace_state(state) + flags
    return b"\x6a%b%b%b" % (_length(_IDS + len(more)), ids, more)


# The spans themselves, which may be many, are not copied into a new text for each message that they are in.
def around_spans(resource: bytes, scope: bytes, schema: str, size: int) -> tuple[bytes, bytes]:
    """What stands before and after the spans of one process: together a field of ExportTraceServiceRequest.

    Args:
        resource: made by `encode_resource`.
        scope: made by `encode_scope`.
        schema: the URL of the semantic conventions' version.
        size: bytes of all its spans, which were made by `encode_span`.
    """
    url = _field(b"\x1a", _utf8(schema))
    inner = len(scope) + size + len(url)
    scope_spans = b"\x12%b%b" % (_length(inner), scope)
    outer = len(resource) + len(scope_spans) + size + 2 * len(url)
    return b"\x0a%b%b%b" % (_length(outer), resource, scope_spans), url + url


def encode_resource(pairs: Pairs) -> bytes:
    """The attributes of a process, as a field of ResourceSpans."""
    return _field(b"\x0a", attributes(pairs, b"\x0a"))


def encode_scope(name: str, version: str) -> bytes:
    """The program that has made the spans, as a field of ScopeSpans."""
    return _field(b"\x0a", _field(b"\x0a", _utf8(name)) + _field(b"\x12", _utf8(version)))


def _field(tag: bytes, content: bytes) -> bytes:
    return b"%b%b%b" % (tag, _length(len(content)), content)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _any(value: Value) -> bytes:
    match value:
        case str():
            return _field(b"\x0a", _utf8(value))
        case bool():
            return b"\x10\x01" if value else b"\x10\x00"
        case int():
            return b"\x18" + varint(value)
        case float():
            return b"\x21" + _DOUBLE.pack(value)
