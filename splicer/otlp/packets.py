"""What a worker sends to the admin process of a sampled request or call: one packet for each.

A packet is the number of its spans (one byte) and the spans, each a field of ScopeSpans: the admin process puts them
into its next request to the collector as they are. What is no such field was made by another version.
"""

from __future__ import annotations

from splicer.otlp.semantics import span_of_call, spans_of_request
from splicer.record import Record
from splicer.trace import RequestTrace

_MOST_SPANS = 255


def request_packet(record: Record, trace: RequestTrace, ended: float, epoch: int, *, query: bool) -> bytes:
    """The packet of a request; see `spans_of_request`."""
    spans = spans_of_request(record, trace, ended, epoch, query=query)
    return b"%c%b" % (min(len(spans), _MOST_SPANS), b"".join(spans))


def call_packet(
    record: Record, trace: RequestTrace, ended: float, epoch: int, *, own_trace: str, span_id: str
) -> bytes:
    """The packet of a call that is over; see `span_of_call`."""
    return b"\x01" + span_of_call(record, trace, ended, epoch, own_trace, span_id)


def spans_in(packet: bytes) -> int:
    """The number of spans that a packet tells of; 0: it is empty."""
    return packet[0] if packet else 0
