from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from splicer.otlp.packets import call_packet, request_packet, spans_in, spans_of
from splicer.otlp.semantics import span_of_call, spans_of_request
from tests.otlp.samples import ASKED, ATTEMPT, EPOCH, STRANGER, attempt, call, record, trace


def test_a_request() -> None:
    told = record(attempts=[attempt(failure="connect_refused", status=None), attempt()], authorize=ASKED)
    its = trace(link=STRANGER, state="b=2")
    packet = request_packet(told, its, 10.5, EPOCH, query=False)
    assert spans_in(packet) == 4
    assert spans_of(packet) == b"".join(spans_of_request(told, its, 10.5, EPOCH, query=False))
    assert len(ScopeSpans.FromString(spans_of(packet)).spans) == 4


def test_a_call() -> None:
    packet = call_packet(call(), trace(opened=3.0), 5.0, EPOCH, own_trace="e" * 32, span_id=ATTEMPT)
    assert spans_in(packet) == 1
    assert spans_of(packet) == span_of_call(call(), trace(opened=3.0), 5.0, EPOCH, "e" * 32, ATTEMPT)


# The third is what version 0.9 has sent.
@pytest.mark.parametrize("packet", [b"", b"\x01", b"\x03)\x1c\x00\x00\x00", b"\x01x"])
def test_what_is_no_packet(packet: bytes) -> None:
    assert spans_in(packet) == sum(packet[:1])
    with pytest.raises(ValueError, match="no packet of spans"):
        spans_of(packet)


@given(st.integers(0, 300))
def test_the_number_of_spans_is_counted(attempts: int) -> None:
    packet = request_packet(record(attempts=[attempt()] * attempts), trace(), 1.0, 0, query=False)
    assert spans_in(packet) == min(255, 1 + attempts)
    assert len(ScopeSpans.FromString(spans_of(packet)).spans) == 1 + attempts
