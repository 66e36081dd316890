from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from splicer.otlp.packets import batches_of, packet_of, spans_in
from splicer.otlp.semantics import span_of_call, spans_of_request
from tests.otlp.samples import ASKED, ATTEMPT, EPOCH, STRANGER, attempt, call, record, trace

_READ_BYTES = 64 * 1024  # of a packet by the admin process


def test_a_request_and_a_call() -> None:
    told = record(attempts=[attempt(failure="connect_refused", status=None), attempt()], authorize=ASKED)
    its = trace(link=STRANGER, state="b=2")
    spans = spans_of_request(told, its, 10.5, EPOCH, query=False)
    spans.append(span_of_call(call(), trace(opened=3.0), 5.0, EPOCH, "e" * 32, ATTEMPT))
    [batch] = batches_of(spans)
    packet = packet_of(batch)
    assert spans_in(packet) == 5
    assert ScopeSpans.FromString(packet[1:]) == ScopeSpans.FromString(b"".join(spans))
    assert len(ScopeSpans.FromString(packet[1:]).spans) == 5
    assert spans_in(b"") == 0


@given(st.lists(st.integers(0, 30_000).map(bytes), max_size=600))
def test_all_spans_are_in_batches_of_packets_that_can_be_read(spans: list[bytes]) -> None:
    batches = list(batches_of(spans))
    assert [span for batch in batches for span in batch] == spans
    for batch in batches:
        packet = packet_of(batch)
        assert spans_in(packet) == len(batch) > 0
        assert len(packet) <= _READ_BYTES
        assert packet[1:] == b"".join(batch)


@given(st.lists(st.integers(0, 3000).map(bytes), max_size=600))
def test_a_batch_has_as_many_as_fit(spans: list[bytes]) -> None:
    batches = list(batches_of(spans))
    for batch, following in pairwise(batches):
        size = sum(map(len, batch)) + len(following[0])
        assert len(batch) == 255 or size > _READ_BYTES // 2
