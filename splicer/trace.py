"""What one request has of a trace: its place in it, and what its spans tell beyond the record."""

from __future__ import annotations

from attrs import define, frozen

HEX_OF_TRACE, HEX_OF_SPAN = 32, 16  # hexadecimal digits of an id


@frozen
class SpanContext:
    """A place in a trace, as a request's headers name it.

    Args:
        trace_id: 32 hexadecimal digits in lower case; "": the headers decide about sampling alone (B3).
        span_id: 16 hexadecimal digits in lower case; "": as above.
        sampled: whether its spans are recorded; None: the receiver decides.
        state: the value of tracestate, not interpreted.
    """

    trace_id: str
    span_id: str
    sampled: bool | None
    state: str = ""


@define
class RequestTrace:
    """The trace of one exchange or tunnel.

    Args:
        trace_id: 32 hexadecimal digits.
        span_id: of the request's span, 16 hexadecimal digits.
        sampled: whether its spans are recorded.
        parent: the span that the request came from; "": it begins the trace.
        state: the value of tracestate for pods.
        link: what a client named whose trace is not continued.
        scheme: "http" or "https".
        version: of HTTP, "1.0" or "1.1".
        agent: the client's User-Agent; "": none.
        peer: the numeric address of the connection's other end.
        pattern: the route's path as `http.route`; "": it has no such form.
        opened: when the client got the 101, on the monotonic clock, seconds; 0: no tunnel.
    """

    trace_id: str
    span_id: str
    sampled: bool
    parent: str = ""
    state: str = ""
    link: SpanContext | None = None
    scheme: str = "http"
    version: str = "1.1"
    agent: str = ""
    peer: str = ""
    pattern: str = ""
    opened: float = 0.0


def is_sampled(trace_id: str, share: float) -> bool:
    """The decision about a new trace: that of OpenTelemetry's TraceIdRatioBased, so that all services agree.

    Args:
        trace_id: 32 hexadecimal digits.
        share: of the traces, 0 to 1.
    """
    return share >= 1 or int(trace_id[HEX_OF_SPAN:], 16) < round(share * (1 << 64))
