"""Spans in the encoding of OTLP: the messages of opentelemetry-proto's trace.proto, written by hand.

https://github.com/open-telemetry/opentelemetry-proto, https://protobuf.dev/programming-guides/encoding/. The format is
frozen; the library for it would take a hundred times the memory, and twice the time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

Value = str | bool | int | float
Pairs = Iterable[tuple[str, Value]]

INTERNAL, SERVER, CLIENT = 1, 2, 3  # Span.SpanKind
_FIXED64, _DOUBLE, _FIXED32 = struct.Struct("<Q"), struct.Struct("<d"), struct.Struct("<I")
_LENGTHS = tuple(bytes((length,)) for length in range(128))
_INT64 = (1 << 64) - 1
_ROOM = 113  # bytes for a name and a value with which the length of an attribute has one byte, whatever its type
_ERROR = b"\x7a\x02\x18\x02"  # Span.status = Status(code=STATUS_CODE_ERROR)
_SAMPLED, _KNOWN, _REMOTE = 0x01, 0x100, 0x200  # Span.flags: it is known whether the parent is remote, and it is
_FLAGS = b"\x85\x01" + _FIXED32.pack(_SAMPLED | _KNOWN)
_FLAGS_REMOTE = b"\x85\x01" + _FIXED32.pack(_SAMPLED | _KNOWN | _REMOTE)
_LINK = b"\x35" + _FIXED32.pack(_SAMPLED | _KNOWN)
_LINK_REMOTE = b"\x35" + _FIXED32.pack(_KNOWN | _REMOTE)
_TIMES = struct.Struct("<BQBQ")  # each with its tag in front


class Link(NamedTuple):
    """A span that a span is connected with.

    Args:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        state: its tracestate.
        remote: whether another program has made it.
    """

    trace_id: bytes
    span_id: bytes
    state: str = ""
    remote: bool = False


def attributes(pairs: Pairs, tag: bytes = b"\x4a") -> bytes:
    """Attributes, as fields of a span.

    Args:
        pairs: names and values.
        tag: the field's number and type; the default is that of a span.
    """
    return b"".join([attribute(name, value, tag) for name, value in pairs])


# Short ones are put together at once, in a third of the time.
def attribute(name: str, value: Value, tag: bytes = b"\x4a") -> bytes:
    """One attribute; see `attributes`."""
    key = _key(name)
    room = _ROOM - len(key)
    if isinstance(value, str):
        text = _utf8(value)
        length = len(text)
        if length < room:
            whole = _LENGTHS[len(key) + length + 4]
            return b"%b%b%b\x12%b\x0a%b%b" % (tag, whole, key, _LENGTHS[length + 2], _LENGTHS[length], text)
    elif isinstance(value, float):
        if room > 0:
            return b"%b%b%b\x12\x09\x21%b" % (tag, _LENGTHS[len(key) + 11], key, _DOUBLE.pack(value))
    elif not isinstance(value, bool) and room > 0:
        number = varint(value)
        length = len(number) + 1
        return b"%b%b%b\x12%b\x18%b" % (tag, _LENGTHS[len(key) + length + 2], key, _LENGTHS[length], number)
    return _field(tag, key + _field(b"\x12", _any(value)))


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return _field(b"\x0a", _utf8(name))


def encode_span(
    trace_id: bytes,
    span_id: bytes,
    parent: bytes,
    state: str,
    name: str,
    kind: int,
    start: int,
    end: int,
    told: bytes,
    events: Sequence[tuple[int, str]] = (),
    links: Sequence[Link] = (),
    *,
    error: bool = False,
    remote: bool = False,
) -> bytes:
    """A span, as a field of ScopeSpans.

    Args:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        parent: 8 bytes; empty: it is the first of its trace.
        state: the tracestate.
        name: its name.
        kind: INTERNAL, SERVER or CLIENT.
        start: nanoseconds since 1970.
        end: the same.
        told: its attributes, encoded by `attributes`.
        events: time and name of each.
        links: its links.
        error: whether its status is an error.
        remote: whether its parent is another program's.
    """
    above = b"\x22\x08" + parent if parent else b""
    times = _TIMES.pack(0x39, start, 0x41, end)
    flags = _FLAGS_REMOTE if remote else _FLAGS
    span = b"\x0a\x10%b\x12\x08%b%b%b%b%b%b" % (trace_id, span_id, above, _named(name, kind), times, told, flags)
    if state:
        span += _field(b"\x1a", _utf8(state))
    for when, what in events:
        before, after = _around_time(what)
        span += before + _FIXED64.pack(when) + after
    for link in links:
        span += _field(b"\x6a", _link(link))
    if error:
        span += _ERROR
    return _field(b"\x12", span)


# The names of spans and events come from the configuration and the code.
@lru_cache(maxsize=1024)
def _named(name: str, kind: int) -> bytes:
    return b"\x2a%b\x30%b" % (_length_and(name), _LENGTHS[kind])


@lru_cache(maxsize=64)
def _around_time(name: str) -> tuple[bytes, bytes]:
    """An event of this name, without its time: what is before that, and behind it."""
    after = b"\x12" + _length_and(name)
    return b"\x5a%b\x09" % varint(1 + _FIXED64.size + len(after)), after


@lru_cache(maxsize=1024)
def _length_and(name: str) -> bytes:
    text = _utf8(name)
    return varint(len(text)) + text


def resource_spans(resource: bytes, scope: bytes, schema: str, spans: Iterable[bytes]) -> bytes:
    """Spans of one process, as a field of ExportTraceServiceRequest.

    Args:
        resource: made by `encode_resource`.
        scope: made by `encode_scope`.
        schema: the URL of the semantic conventions' version.
        spans: made by `encode_span`.
    """
    url = _field(b"\x1a", _utf8(schema))
    return _field(b"\x0a", resource + _field(b"\x12", b"".join((scope, *spans, url))) + url)


def encode_resource(pairs: Pairs) -> bytes:
    """The attributes of a process, as a field of ResourceSpans."""
    return _field(b"\x0a", attributes(pairs, b"\x0a"))


def encode_scope(name: str, version: str) -> bytes:
    """The program that has made the spans, as a field of ScopeSpans."""
    return _field(b"\x0a", _field(b"\x0a", _utf8(name)) + _field(b"\x12", _utf8(version)))


def varint(number: int) -> bytes:
    """A number of up to 64 bits; a negative one in two's complement."""
    if 0 <= number < 1 << 7:
        return _LENGTHS[number]
    if 0 < number < 1 << 14:
        return bytes((number & 127 | 128, number >> 7))
    if 0 < number < 1 << 21:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))
    number &= _INT64
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: bytes, content: bytes) -> bytes:
    length = len(content)
    return b"%b%b%b" % (tag, _LENGTHS[length] if length < 128 else varint(length), content)


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


def _link(link: Link) -> bytes:
    state = _field(b"\x1a", _utf8(link.state)) if link.state else b""
    flags = _LINK_REMOTE if link.remote else _LINK  # whether a stranger samples isn't known
    return b"\x0a\x10%b\x12\x08%b%b%b" % (link.trace_id, link.span_id, state, flags)
