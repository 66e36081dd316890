from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from splicer.otlp.packets import call_packet, request_packet, spans_in
from splicer.otlp.semantics import span_of_call, spans_of_request
from tests.otlp.samples import ASKED, ATTEMPT, EPOCH, STRANGER, attempt, call, record, trace


def test_a_request() -> None:
    told = record(attempts=[attempt(failure="connect_refused", status=None), attempt()], authorize=ASKED)
    its = trace(link=STRANGER, state="b=2")
    packet = request_packet(told, its, 10.5, EPOCH, query=False)
    assert spans_in(packet) == 4
    assert packet[1:] == b"".join(spans_of_request(told, its, 10.5, EPOCH, query=False))
    assert len(ScopeSpans.FromString(packet[1:]).spans) == 4


def test_a_call() -> None:
    packet = call_packet(call(), trace(opened=3.0), 5.0, EPOCH, own_trace="e" * 32, span_id=ATTEMPT)
    assert spans_in(packet) == 1
    assert packet[1:] == span_of_call(call(), trace(opened=3.0), 5.0, EPOCH, "e" * 32, ATTEMPT)


@given(st.integers(0, 300))
def test_the_number_of_spans_is_counted(attempts: int) -> None:
    packet = request_packet(record(attempts=[attempt()] * attempts), trace(), 1.0, 0, query=False)
    assert spans_in(packet) == min(255, 1 + attempts)
    assert len(ScopeSpans.FromString(packet[1:]).spans) == 1 + attempts
    assert spans_in(b"") == 0
