"""Our bytes, read by the classes that protoc has made of opentelemetry-proto."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from splicer.otlp.encoder import encode_resource, encode_scope, resource_spans
from tests.otlp.samples import Drawn, pairs, spans, text


def told(attributes: Any) -> list[tuple[str, Any]]:
    return [(one.key, getattr(one.value, one.value.WhichOneof("value"))) for one in attributes]


@given(st.lists(spans(), max_size=4), pairs, text)
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
        trace_id, span_id, parent, state, name, kind, start, end, _, events, links = span.fields
        assert (found.trace_id, found.span_id, found.parent_span_id) == (trace_id, span_id, parent)
        assert (found.trace_state, found.name, found.kind) == (state, name, kind)
        assert (found.start_time_unix_nano, found.end_time_unix_nano) == (start, end)
        assert told(found.attributes) == span.told
        assert [type(value) for _, value in told(found.attributes)] == [type(value) for _, value in span.told]
        assert [(event.time_unix_nano, event.name) for event in found.events] == events
        linked = [(link.trace_id, link.span_id, link.trace_state, bool(link.flags & 0x200)) for link in found.links]
        assert linked == links
        assert (found.status.code, found.status.message) == (2 if span.error else 0, "")
        assert found.flags == (0x301 if span.remote else 0x101)


@settings(max_examples=20)
@given(st.lists(spans(), max_size=3))
def test_nothing_is_written_that_the_messages_do_not_have(drawn: list[Drawn]) -> None:
    whole = resource_spans(encode_resource([]), encode_scope("a", "b"), "c", [one.encoded() for one in drawn])
    read = ExportTraceServiceRequest.FromString(whole)
    read.DiscardUnknownFields()
    again = ExportTraceServiceRequest.FromString(whole)
    assert read == again


def test_a_lone_surrogate_is_no_reason_to_fail() -> None:
    whole = resource_spans(encode_resource([("a", "\ud800")]), encode_scope("a", "b"), "c", [])
    assert told(ExportTraceServiceRequest.FromString(whole).resource_spans[0].resource.attributes) == [("a", "?")]
