"""The spans of a request or a call, by OpenTelemetry's semantic conventions for HTTP, as fields of ScopeSpans.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/. The worker makes them: to tell
another process what they say, and to read that there, took 10 us of a call's time more. Attributes of which there are
few combinations are encoded once for each. Paths, hosts and agents, which clients choose freely, are not in these: they
would replace all the others.
"""

from __future__ import annotations

from functools import lru_cache

from splicer.authorization import AuthorizeOutcome
from splicer.otlp.encoder import (
    CLIENT,
    FAILED,
    INTERNAL,
    SERVER,
    Value,
    attributes,
    encode_span,
    event_at,
    float_attributes,
    linked,
    named,
    nanoseconds,
    number_attribute,
    text_attribute,
    trace_state,
)
from splicer.record import AttemptOutcome, Record
from splicer.trace import RequestTrace

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"

_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}  # those that are known
)
_SERVER_ERROR, _CLIENT_ERROR, _CLIENT_GONE = 500, 400, 499
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT = 256  # combinations
_LONGEST = 1024  # characters of a text from outside

_path, _query = text_attribute("url.path"), text_attribute("url.query")
_url, _agent = text_attribute("url.full", "http://"), text_attribute("user_agent.original")
_port, _request_id = number_attribute("client.port"), text_attribute("splicer.request_id")
_to_pod, _to_client = number_attribute("splicer.bytes_to_pod"), number_attribute("splicer.bytes_to_client")
_rtts = float_attributes("splicer.client_rtt_ms", "splicer.pod_rtt_ms")
_resolved, _connected = event_at("resolved"), event_at("connected")


def spans_of_request(record: Record, trace: RequestTrace, ended: float, epoch: int, *, query: bool) -> list[bytes]:
    """The spans of a request: its own, that of the question to its authorizer, and those of its attempts.

    Args:
        record: the request's.
        trace: its trace.
        ended: when its span ends, on the monotonic clock, seconds.
        epoch: the clock's zero, in nanoseconds since 1970.
        query: whether query strings are told.
    """
    spans = [_request(record, trace, ended, epoch, query=query)]
    method = record.method or ""
    if record.authorize is not None:
        spans.append(_question(record.authorize, trace, epoch))
    sent = 0  # requests that were sent before to serve this one
    for attempt in record.attempts:
        sent += attempt.repeats
        spans.append(_attempt(attempt, trace, epoch, method, sent))
        sent += 1
    return spans


# ---- the request ----


def _request(record: Record, trace: RequestTrace, ended: float, epoch: int, *, query: bool) -> bytes:
    attempts, arrival, agent, peer = record.attempts, record.arrival, trace.agent, trace.peer
    tls = None
    if arrival is not None:
        peer, tls = arrival.via or peer, arrival.fact("tls_version")
    told = _of_server(
        record.method or "",
        trace.scheme,
        trace.version,
        trace.pattern,
        record.route,
        record.status,
        None if trace.opened else record.close_reason,  # the span of a call's request ends with its 101
        attempts[-1].fallback if attempts else None,
        record.protocol,
        tls,
        trace.parent != "",
    )
    told += _addresses(record.client, peer) + _path((record.path or "")[:_LONGEST])
    if record.host:
        told += _host(record.host[:_LONGEST], _DEFAULT_PORTS[trace.scheme])
    if agent:
        told += _agent(agent)
    if arrival is not None and arrival.port:
        told += _port(arrival.port)
    if query and record.query is not None:
        told += _query(record.query[:_LONGEST])
    if record.request_id is not None and record.request_id != trace.span_id:
        told += _request_id(record.request_id)
    if trace.state:
        told += trace_state(trace.state)
    if (link := trace.link) is not None:
        told += linked(link.trace_id, link.span_id, link.state, remote=True)
    return encode_span(trace.trace_id, trace.span_id, trace.parent, epoch, record.started, ended, told)


@lru_cache(maxsize=_KEPT)
def _addresses(client: str, peer: str) -> bytes:
    pairs = (("client.address", client), ("network.peer.address", peer))
    return attributes([(name, address) for name, address in pairs if address])


@lru_cache(maxsize=_KEPT)
def _host(authority: str, usual: int) -> bytes:
    return attributes(_server(authority, usual))


# A 4xx is the client's error, and so none of this span. The status of a client that has left was never sent.
def _failure_of_request(status: int | None, reason: str | None) -> str | None:
    if reason == "complete":
        reason = None
    if status is None or status == _CLIENT_GONE:
        return reason
    if status >= _SERVER_ERROR:
        return reason or str(status)
    return reason if status < _CLIENT_ERROR else None


@lru_cache(maxsize=_KEPT)
def _of_server(
    method: str,
    scheme: str,
    version: str,
    pattern: str,
    route: str | None,
    status: int | None,
    reason: str | None,
    fallback: bool | None,
    protocol: str | None,
    tls: str | None,
    remote: bool,
) -> bytes:
    pairs = [*_method(method), ("url.scheme", scheme), ("network.protocol.version", version)]
    for name, value in (
        ("http.route", pattern or None),
        ("http.response.status_code", None if status == _CLIENT_GONE else status),
        ("error.type", _failure_of_request(status, reason)),
        ("splicer.route", route),
        ("tls.protocol.version", None if tls is None else tls.removeprefix("TLSv")),
        ("splicer.fallback", fallback),
        ("splicer.protocol", protocol),
    ):
        if value is not None:
            pairs.append((name, value))
    name = f"{_verb(method)} {pattern}" if pattern else _verb(method)
    failed = status is not None and status >= _SERVER_ERROR
    return named(name, SERVER, remote=remote) + attributes(pairs) + (FAILED if failed else b"")


# ---- its attempts, and the question to its authorizer ----


def _attempt(attempt: AttemptOutcome, trace: RequestTrace, epoch: int, method: str, sent: int) -> bytes:
    target, endpoint = (attempt.target or "")[:_LONGEST], attempt.endpoint
    resolved, connected, answered = attempt.resolved, attempt.connected, attempt.answered
    told = _of_client(
        method,
        target.partition("/")[0],
        endpoint,
        attempt.status,
        attempt.failure or _status_failure(attempt.status),
        sent,
        attempt.upstream,
        attempt.pod,
    )
    # Both times are also those of failures, of which an event must not tell.
    if resolved and endpoint is not None:
        told += _resolved(nanoseconds(epoch, resolved))
    if connected and answered:
        told += _connected(nanoseconds(epoch, connected))
    if target:
        told += _url(target)
    if trace.state:
        told += trace_state(trace.state)
    ended = max(resolved, connected, answered)
    return encode_span(trace.trace_id, attempt.span, trace.span_id, epoch, attempt.started, ended, told)


def _question(asked: AuthorizeOutcome, trace: RequestTrace, epoch: int) -> bytes:
    failure = _status_failure(asked.status) or (asked.failure if asked.status is None else None)
    host = asked.target.partition("/")[0]
    told = _of_client("GET", host, asked.endpoint, asked.status, failure, 0, asked.upstream, None)
    if asked.target:
        told += _url(asked.target)
    told += trace_state(trace.state)
    ended = asked.started + asked.seconds
    return encode_span(trace.trace_id, asked.span, trace.span_id, epoch, asked.started, ended, told)


def _status_failure(status: int | None) -> str | None:
    return str(status) if status is not None and status >= _CLIENT_ERROR else None


@lru_cache(maxsize=_KEPT)
def _of_client(
    method: str,
    host: str,
    endpoint: str | None,
    status: int | None,
    failure: str | None,
    sent: int,
    upstream: str,
    pod: str | None,
) -> bytes:
    pairs = [*_method(method)]
    if host:
        pairs += _server(host, _DEFAULT_PORTS["http"])
    if endpoint is not None:
        address, _, port = endpoint.rpartition(":")
        pairs += [("network.peer.address", address.strip("[]")), ("network.peer.port", int(port))]
    if status is not None:
        pairs.append(("http.response.status_code", status))
    if failure is not None:
        pairs.append(("error.type", failure))
    if sent:
        pairs.append(("http.request.resend_count", sent))
    pairs.append(("splicer.upstream", upstream))
    if pod:
        pairs.append(("splicer.pod", pod))
    return named(_verb(method), CLIENT) + attributes(pairs) + (b"" if failure is None else FAILED)


# ---- the call ----


def span_of_call(record: Record, trace: RequestTrace, ended: float, epoch: int, own_trace: str, span_id: str) -> bytes:
    """The span of a call that is over.

    Args:
        record: the call's.
        trace: its trace.
        ended: as of `spans_of_request`.
        epoch: as of `spans_of_request`.
        own_trace: the trace of the call's span; "": that of the handshake.
        span_id: the call's span.
    """
    pod = None if record.endpoint is None else record.endpoint.pod
    told = _of_call(record.route, pod, record.closer, record.close_reason, record.protocol, record.adopted)
    told += _addresses(record.client, "") + _to_pod(record.to_pod) + _to_client(record.to_client)
    if record.request_id is not None and record.request_id != trace.span_id:
        told += _request_id(record.request_id)
    client, pod_line = record.client_line, record.pod_line
    if client is not None and pod_line is not None:
        told += _rtts(round(client.rtt * 1000, 3), round(pod_line.rtt * 1000, 3))
        told += _retransmits(client.retransmits, pod_line.retransmits)
    elif (line := client or pod_line) is not None:
        side = "pod" if client is None else "client"
        pairs = (f"splicer.{side}_rtt_ms", round(line.rtt * 1000, 3)), (f"splicer.{side}_retransmits", line.retransmits)
        told += attributes(pairs)
    if not own_trace:
        return encode_span(trace.trace_id, span_id, trace.span_id, epoch, trace.opened, ended, told)
    told += linked(trace.trace_id, trace.span_id)
    return encode_span(own_trace, span_id, "", epoch, trace.opened, ended, told)


@lru_cache(maxsize=_KEPT)
def _of_call(
    route: str | None, pod: str | None, closer: str | None, reason: str | None, protocol: str | None, adopted: int
) -> bytes:
    pairs: tuple[tuple[str, Value | None], ...] = (
        ("splicer.route", route),
        ("splicer.pod", pod),
        ("splicer.closed_by", closer),
        ("splicer.reason", reason),
        ("splicer.protocol", protocol),
        ("splicer.adopted", adopted),
    )
    told = attributes([(name, value) for name, value in pairs if value is not None])
    return named(f"tunnel {route}", INTERNAL) + told


@lru_cache(maxsize=_KEPT)
def _retransmits(client: int, pod: int) -> bytes:
    return attributes([("splicer.client_retransmits", client), ("splicer.pod_retransmits", pod)])


# ---- their parts ----


def _verb(method: str) -> str:
    return method if method in _METHODS else "HTTP"


def _method(method: str) -> list[tuple[str, Value]]:
    if method in _METHODS:
        return [("http.request.method", method)]
    return [("http.request.method", "_OTHER"), ("http.request.method_original", method)]


def _server(authority: str, usual: int) -> list[tuple[str, Value]]:
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = authority, str(usual)
    return [("server.address", host.strip("[]")), ("server.port", int(port))]
