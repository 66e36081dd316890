"""Our bytes, read by the classes that protoc has made of opentelemetry-proto."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from splicer.otlp.encoder import (
    around_spans,
    attribute,
    encode_resource,
    encode_scope,
    encode_span,
    float_attributes,
    linked,
    number_attribute,
    text_attribute,
)
from tests.kit.laws import examples
from tests.otlp.samples import Drawn, pairs, spans, text


def resource_spans(resource: bytes, scope: bytes, schema: str, spans: list[bytes]) -> bytes:
    before, after = around_spans(resource, scope, schema, sum(map(len, spans)))
    return b"".join((before, *spans, after))


def told(attributes: Any) -> list[tuple[str, Any]]:
    return [(one.key, getattr(one.value, one.value.WhichOneof("value"))) for one in attributes]


@given(st.lists(spans, max_size=4), pairs, text)
def test_every_field_arrives(drawn: list[Drawn], resource: Any, name: str) -> None:
    encoded = [one.encoded() for one in drawn]
    whole = resource_spans(encode_resource(resource), encode_scope(name, "1"), "http://schema", encoded)
    read = ExportTraceServiceRequest.FromString(whole * 2)
    assert len(read.resource_spans) == 2
    assert read.resource_spans[0] == read.resource_spans[1]
    assert (
        read.SerializeToString() == ExportTraceServiceRequest.FromString(read.SerializeToString()).SerializeToString()
    )
    [one] = read.resource_spans[0].scope_spans
    assert (one.scope.name, one.scope.version) == (name, "1")
    assert one.schema_url == read.resource_spans[0].schema_url == "http://schema"
    assert told(read.resource_spans[0].resource.attributes) == resource
    assert len(one.spans) == len(drawn)
    for found, span in zip(one.spans, drawn, strict=True):
        ids = found.trace_id.hex(), found.span_id.hex(), found.parent_span_id.hex()
        assert ids == (span.trace_id, span.span_id, span.parent)
        assert (found.trace_state, found.name, found.kind) == (span.state, span.name, span.kind)
        start = span.epoch + int(span.started * 1_000_000_000)
        assert found.start_time_unix_nano == start
        assert found.end_time_unix_nano == max(start, span.epoch + int(span.ended * 1_000_000_000))
        assert told(found.attributes) == span.told
        assert [type(value) for _, value in told(found.attributes)] == [type(value) for _, value in span.told]
        assert [(event.time_unix_nano, event.name) for event in found.events] == span.events
        linked = [
            (link.trace_id.hex(), link.span_id.hex(), link.trace_state, bool(link.flags & 0x200))
            for link in found.links
        ]
        assert linked == span.links
        assert (found.status.code, found.status.message) == (2 if span.error else 0, "")
        assert found.flags == (0x301 if span.remote else 0x101)


@settings(max_examples=examples(20))
@given(st.lists(spans, max_size=3))
def test_nothing_is_written_that_the_messages_do_not_have(drawn: list[Drawn]) -> None:
    whole = resource_spans(encode_resource([]), encode_scope("a", "b"), "c", [one.encoded() for one in drawn])
    read = ExportTraceServiceRequest.FromString(whole)
    read.DiscardUnknownFields()
    again = ExportTraceServiceRequest.FromString(whole)
    assert read == again


def test_a_lone_surrogate_is_no_reason_to_fail() -> None:
    whole = resource_spans(encode_resource([("a", "\ud800")]), encode_scope("a", "b"), "c", [])
    assert told(ExportTraceServiceRequest.FromString(whole).resource_spans[0].resource.attributes) == [("a", "?")]


@given(text, st.text(max_size=400), st.integers(-(2**63), 2**64 - 1), st.floats())
def test_what_is_prepared_makes_the_same_bytes(name: str, value: str, number: int, share: float) -> None:
    assert text_attribute(name)(value) == attribute(name, value)
    assert text_attribute(name, "http://")(value) == attribute(name, f"http://{value}")
    assert number_attribute(name)(number) == attribute(name, number)
    both = attribute(name, share) + attribute(value, float(number))
    assert float_attributes(name, value)(share, number) == both


@pytest.mark.parametrize("bits", range(65))
def test_numbers_of_every_length(bits: int) -> None:
    make = number_attribute("n")
    for number in {(1 << bits) - 1, (1 << bits >> 1) % (1 << 63), -(1 << bits >> 1)}:
        [(_, value)] = told(Span.FromString(make(number)).attributes)
        assert value == (number if number < 1 << 63 else number - (1 << 64))


@pytest.mark.parametrize("length", [0, 1, 100, 127, 128, 255, 256, 300])
def test_texts_of_every_length(length: int) -> None:
    assert told(Span.FromString(text_attribute("a.b")("é" * length)).attributes) == [("a.b", "é" * length)]


# One such span would make the whole batch unreadable.
@pytest.mark.parametrize(
    "ids", [("", "b" * 16, ""), ("a" * 30, "b" * 16, ""), ("a" * 32, "b" * 14, "c" * 16), ("a" * 32, "x" * 16, "")]
)
def test_what_is_no_id_makes_no_span(ids: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"no ids|hexadecimal"):
        encode_span(*ids, 1, 2.0, 3.0, b"")
    with pytest.raises(ValueError, match=r"no ids|hexadecimal"):
        linked(ids[0], ids[1])
