from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from splicer.otlp.answer import partial_success


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=300))
def test_what_a_collector_says(rejected: int, message: str) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    assert partial_success(body) == (max(0, rejected), message)
    later = b"\x12\x01a\x19abcdefgh\x25abcd" + body + b"\x18\x05"
    assert partial_success(later) == (max(0, rejected), message), "fields of a later version are skipped"


def test_no_word_is_success() -> None:
    assert partial_success(b"") == partial_success(ExportTraceServiceResponse().SerializeToString()) == (0, "")


@given(st.binary(max_size=50))
@example(b"\xff" * 11)
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
@example(b"<html>")
def test_no_bytes_raise(body: bytes) -> None:
    rejected, message = partial_success(body)
    assert rejected >= 0
    assert isinstance(message, str)
