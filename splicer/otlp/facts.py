"""What a worker tells the admin process of a sampled request or call: one packet for each.

A packet is the number of its spans (one byte) and a tuple in marshal's format, because making it must cost a worker
next to nothing: the meaning of its fields is worked out by the admin process (`semantics`). It is read by a process
that may be newer: a later version appends fields, and those have a default.
"""

from __future__ import annotations

import marshal
from typing import Any, NamedTuple

from splicer.authorization import AuthorizeOutcome
from splicer.record import AttemptOutcome, Record
from splicer.trace import RequestTrace

_FORMAT = 2  # of marshal: without references, which cost more than they save here
_REQUEST, _CALL = "request", "call"
_LONGEST = 1024  # characters of a text from outside
_MOST_SPANS = 255


class Attempt(NamedTuple):
    """One attempt; see `AttemptOutcome`. Its times are on the worker's monotonic clock, in seconds."""

    span_id: str
    upstream: str
    target: str
    endpoint: str | None
    pod: str | None
    status: int | None
    failure: str | None
    started: float
    resolved: float
    connected: float
    answered: float
    repeats: int
    fallback: bool


class Asked(NamedTuple):
    """The question to an authorizer; see `AuthorizeOutcome`."""

    span_id: str
    upstream: str
    target: str
    endpoint: str | None
    status: int | None
    failure: str | None
    started: float
    seconds: float


class Request(NamedTuple):
    """One request, up to the end of its answer, or to its 101; see `Record` and `RequestTrace`.

    Args:
        epoch: the zero of the worker's monotonic clock, in nanoseconds since 1970.
        link: trace, span and state that a client named who isn't trusted.
        port: the client's TCP port, where whoever has accepted its connection says it; 0: unknown.
        tls: the version of TLS that the client spoke, as in the log; None: unknown, or none.
    """

    epoch: int
    trace_id: str
    span_id: str
    parent: str
    state: str
    link: tuple[str, str, str] | None
    pattern: str
    scheme: str
    version: str
    agent: str
    peer: str
    method: str
    path: str
    query: str | None
    host: str
    client: str
    route: str | None
    request_id: str | None
    protocol: str | None
    status: int | None
    reason: str | None
    started: float
    ended: float
    attempts: list[Attempt]
    asked: Asked | None
    port: int = 0
    tls: str | None = None


_ATTEMPTS = 1 + Request._fields.index("attempts")  # in a packet
_MOST_OF_REQUEST, _MOST_OF_ATTEMPT = len(Request._fields), len(Attempt._fields)


class Call(NamedTuple):
    """One call, told at its end; see `Record`.

    Args:
        epoch: as of `Request`.
        trace_id: of the handshake.
        parent: the handshake's span.
        own_trace: the trace of the call's span; "": that of the handshake.
        client_line: round-trip time in seconds, and segments sent again; None: unknown.
        pod_line: the same of the connection to the pod.
    """

    epoch: int
    trace_id: str
    parent: str
    own_trace: str
    span_id: str
    route: str | None
    pod: str | None
    client: str
    request_id: str | None
    protocol: str | None
    opened: float
    ended: float
    to_pod: int
    to_client: int
    closer: str | None
    reason: str | None
    adopted: int
    client_line: tuple[float, int] | None
    pod_line: tuple[float, int] | None


_MOST_OF_CALL = len(Call._fields)


def request_packet(record: Record, trace: RequestTrace, ended: float, epoch: int, *, query: bool) -> bytes:
    """The packet of a request.

    Args:
        record: the request's.
        trace: its trace.
        ended: when its span ends, on the monotonic clock, seconds.
        epoch: the clock's zero, in nanoseconds since 1970.
        query: whether query strings are told.
    """
    link, asked, attempts, arrival = trace.link, record.authorize, record.attempts, record.arrival
    fields = (
        _REQUEST,
        epoch,
        trace.trace_id,
        trace.span_id,
        trace.parent,
        trace.state,
        None if link is None else (link.trace_id, link.span_id, link.state),
        trace.pattern,
        trace.scheme,
        trace.version,
        trace.agent,
        trace.peer if arrival is None else arrival.via or trace.peer,
        record.method or "",
        _cut(record.path),
        _cut(record.query) if query and record.query is not None else None,
        _cut(record.host),
        record.client,
        record.route,
        record.request_id,
        record.protocol,
        record.status,
        record.close_reason,
        record.started,
        ended,
        [_attempt(attempt) for attempt in attempts],
        None if asked is None else _asked(asked),
        0 if arrival is None else arrival.port,
        None if arrival is None else arrival.fact("tls_version"),
    )
    return _packed(fields, 1 + len(attempts) + (asked is not None))


def call_packet(
    record: Record, trace: RequestTrace, ended: float, epoch: int, *, own_trace: str, span_id: str
) -> bytes:
    """The packet of a call that is over.

    Args:
        record: the call's.
        trace: its trace.
        ended: as of `request_packet`.
        epoch: as of `request_packet`.
        own_trace: the trace of the call's span; "": that of the handshake.
        span_id: the call's span.
    """
    client, pod = record.client_line, record.pod_line
    fields = (
        _CALL,
        epoch,
        trace.trace_id,
        trace.span_id,
        own_trace,
        span_id,
        record.route,
        None if record.endpoint is None else record.endpoint.pod,
        record.client,
        record.request_id,
        record.protocol,
        trace.opened,
        ended,
        record.to_pod,
        record.to_client,
        # An enumeration's member is a string of a class of its own, which marshal doesn't know.
        None if record.closer is None else str(record.closer),
        record.close_reason,
        record.adopted,
        None if client is None else (client.rtt, client.retransmits),
        None if pod is None else (pod.rtt, pod.retransmits),
    )
    return _packed(fields, 1)


def spans_in(packet: bytes) -> int:
    """The number of spans that a packet tells of; 0: it is empty."""
    return packet[0] if packet else 0


def read_packet(packet: bytes) -> Request | Call | None:
    """What a packet tells; None: its kind is a later version's.

    Raises:
        ValueError: the packet is malformed.
    """
    try:
        fields = marshal.loads(packet[1:])  # noqa: S302 - from a worker of this edge
        if fields[0] == _CALL:
            return Call._make(fields[1 : 1 + _MOST_OF_CALL])
        if fields[0] != _REQUEST:
            return None
        attempts, asked = fields[_ATTEMPTS : _ATTEMPTS + 2]
        attempts[:] = [Attempt._make(attempt[:_MOST_OF_ATTEMPT]) for attempt in attempts]
        request = Request(*fields[1 : 1 + _MOST_OF_REQUEST])
        return request if asked is None else request._replace(asked=Asked._make(asked[: len(Asked._fields)]))
    except (EOFError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"no packet of spans: {error!r}") from error


def _packed(fields: tuple[Any, ...], spans: int) -> bytes:
    return b"%c%b" % (min(spans, _MOST_SPANS), marshal.dumps(fields, _FORMAT))


def _attempt(attempt: AttemptOutcome) -> tuple[Any, ...]:
    return (
        attempt.span,
        attempt.upstream,
        _cut(attempt.target),
        attempt.endpoint,
        attempt.pod,
        attempt.status,
        attempt.failure,
        attempt.started,
        attempt.resolved,
        attempt.connected,
        attempt.answered,
        attempt.repeats,
        attempt.fallback,
    )


def _asked(asked: AuthorizeOutcome) -> tuple[Any, ...]:
    return (
        asked.span,
        asked.upstream,
        asked.target,
        asked.endpoint,
        asked.status,
        asked.failure,
        asked.started,
        asked.seconds,
    )


def _cut(text: str | None) -> str:
    return "" if text is None else text[:_LONGEST]
