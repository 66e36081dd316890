"""What a worker sends to the admin process: the spans of some requests and calls.

A packet is the number of its spans (one byte) and the spans, each a field of ScopeSpans: the admin process puts them
into its next request to the collector as they are. What is no such field was made by another version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_MOST_SPANS = 255
_MOST_BYTES = 32 * 1024  # of a packet with more than one span: the reader takes 64 KiB, and no span is half as long


def batches_of(spans: list[bytes]) -> Iterator[list[bytes]]:
    """Spans in their order, as many together as fit into a packet."""
    if 0 < len(spans) <= _MOST_SPANS and sum(map(len, spans)) <= _MOST_BYTES:
        yield spans  # nearly always
        return
    batch, size = list[bytes](), 0
    for span in spans:
        if batch and (len(batch) == _MOST_SPANS or size + len(span) > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += len(span)
    if batch:
        yield batch


def packet_of(spans: Sequence[bytes]) -> bytes:
    """The packet of such a batch."""
    return b"%c%b" % (len(spans), b"".join(spans))


def spans_in(packet: bytes) -> int:
    """The number of spans that a packet tells of; 0: it is empty."""
    return packet[0] if packet else 0
