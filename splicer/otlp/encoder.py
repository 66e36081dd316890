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
_ERROR = b"\x7a\x02\x18\x02"  # Span.status = Status(code=STATUS_CODE_ERROR)
_SAMPLED, _KNOWN, _REMOTE = 0x01, 0x100, 0x200  # Span.flags: it is known whether the parent is remote, and it is
_FLAGS = b"\x85\x01" + _FIXED32.pack(_SAMPLED | _KNOWN)
_FLAGS_REMOTE = b"\x85\x01" + _FIXED32.pack(_SAMPLED | _KNOWN | _REMOTE)
_KIND_AND_TIMES = struct.Struct("<BBBQBQ")  # each value with its tag in front


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


class Span(NamedTuple):
    """A span.

    Args:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        parent: 8 bytes; empty: it is the first of its trace.
        state: the tracestate.
        name: its name.
        kind: INTERNAL, SERVER or CLIENT.
        start: nanoseconds since 1970.
        end: the same.
        attributes: encoded by `attributes`.
        events: time and name of each.
        links: its links.
        error: whether its status is an error.
        remote: whether its parent is another program's.
    """

    trace_id: bytes
    span_id: bytes
    parent: bytes
    state: str
    name: str
    kind: int
    start: int
    end: int
    attributes: bytes
    events: Sequence[tuple[int, str]] = ()
    links: Sequence[Link] = ()
    error: bool = False
    remote: bool = False


def attributes(pairs: Pairs, tag: bytes = b"\x4a") -> bytes:
    """Attributes, as fields of a span.

    Args:
        pairs: names and values.
        tag: the field's number and type; the default is that of a span.
    """
    return b"".join([_attribute(tag, name, value) for name, value in pairs])


# Most are short texts: these are put together at once, in a third of the time.
def _attribute(tag: bytes, name: str, value: Value) -> bytes:
    key = _key(name)
    if isinstance(value, str):
        text = _utf8(value)
        length = len(text)
        whole = len(key) + length + 4
        if whole < 128:
            return b"%b%b%b\x12%b\x0a%b%b" % (tag, _LENGTHS[whole], key, _LENGTHS[length + 2], _LENGTHS[length], text)
    return _field(tag, key + _field(b"\x12", _any(value)))


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return _field(b"\x0a", _utf8(name))


def encode_span(span: Span) -> bytes:
    """A span, as a field of ScopeSpans."""
    parts = [b"\x0a\x10", span.trace_id, b"\x12\x08", span.span_id]
    if span.state:
        parts.append(_field(b"\x1a", _utf8(span.state)))
    if span.parent:
        parts += (b"\x22\x08", span.parent)
    parts += (
        _named(span.name),
        _KIND_AND_TIMES.pack(0x30, span.kind, 0x39, span.start, 0x41, span.end),
        span.attributes,
    )
    for when, name in span.events:
        parts.append(_field(b"\x5a", b"\x09%b\x12%b" % (_FIXED64.pack(when), _length_and(name))))
    for link in span.links:
        parts.append(_field(b"\x6a", _link(link)))
    if span.error:
        parts.append(_ERROR)
    parts.append(_FLAGS_REMOTE if span.remote else _FLAGS)
    return _field(b"\x12", b"".join(parts))


# The names of spans and events come from the configuration and the code.
@lru_cache(maxsize=1024)
def _named(name: str) -> bytes:
    return b"\x2a" + _length_and(name)


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
    flags = _KNOWN | _REMOTE if link.remote else _SAMPLED | _KNOWN  # whether a stranger samples isn't known
    return b"".join((b"\x0a\x10", link.trace_id, b"\x12\x08", link.span_id, state, b"\x35", _FIXED32.pack(flags)))
