"""The spans of a request or a call, by OpenTelemetry's semantic conventions for HTTP.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/. Attributes that few values take are encoded once for each
combination: a process sees the same methods, routes, pods and agents over and over.
"""

from __future__ import annotations

from functools import lru_cache

from splicer.otlp.encoder import CLIENT, INTERNAL, SERVER, Link, Value, attribute, attributes, encode_span
from splicer.otlp.facts import Asked, Attempt, Call, Request

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"

_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}  # those that are known
)
_SERVER_ERROR, _CLIENT_ERROR, _CLIENT_GONE = 500, 400, 499
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT = 1024  # combinations
_NANOSECONDS = 1_000_000_000


def encoded_spans(facts: Request | Call) -> list[bytes]:
    """The spans, the first one's children behind it, each as a field of ScopeSpans."""
    if isinstance(facts, Call):
        return [_call(facts)]
    trace_id, span_id = bytes.fromhex(facts.trace_id), bytes.fromhex(facts.span_id)
    spans = [_request(facts, trace_id, span_id)]
    if facts.asked is not None:
        spans.append(_question(facts, facts.asked, trace_id, span_id))
    sent = 0  # requests that were sent before to serve this one
    for attempt in facts.attempts:
        sent += attempt.repeats
        spans.append(_attempt(facts, attempt, trace_id, span_id, sent))
        sent += 1
    return spans


# ---- the request ----


def _request(facts: Request, trace_id: bytes, span_id: bytes) -> bytes:
    status, pattern, attempts = facts.status, facts.pattern, facts.attempts
    told = _server_attributes(
        facts.method,
        facts.scheme,
        facts.version,
        facts.host,
        pattern,
        facts.agent,
        facts.route,
        status,
        _failure_of_request(status, facts.reason),
        attempts[-1].fallback if attempts else None,
        facts.protocol,
        facts.tls,
    )
    told += _addresses(facts.client, facts.peer) + attribute("url.path", facts.path)
    if facts.port:
        told += attribute("client.port", facts.port)
    if facts.query is not None:
        told += attribute("url.query", facts.query)
    if facts.request_id is not None and facts.request_id != facts.span_id:
        told += attribute("splicer.request_id", facts.request_id)
    links: tuple[Link, ...] = ()
    if facts.link is not None:
        trace, span, state = facts.link
        links = (Link(bytes.fromhex(trace), bytes.fromhex(span), state, remote=True),)
    method = facts.method if facts.method in _METHODS else "HTTP"
    start, end = _times(facts.epoch, facts.started, facts.ended)
    return encode_span(
        trace_id,
        span_id,
        bytes.fromhex(facts.parent),
        facts.state,
        f"{method} {pattern}" if pattern else method,
        SERVER,
        start,
        end,
        told,
        (),
        links,
        error=status is not None and status >= _SERVER_ERROR,
        remote=facts.parent != "",
    )


@lru_cache(maxsize=_KEPT)
def _addresses(client: str, peer: str) -> bytes:
    pairs = (("client.address", client), ("network.peer.address", peer))
    return attributes([(name, address) for name, address in pairs if address])


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
def _server_attributes(
    method: str,
    scheme: str,
    version: str,
    host: str,
    pattern: str,
    agent: str,
    route: str | None,
    status: int | None,
    failure: str | None,
    fallback: bool | None,
    protocol: str | None,
    tls: str | None,
) -> bytes:
    pairs = [*_method(method), ("url.scheme", scheme), ("network.protocol.version", version)]
    if host:
        pairs += _server(host, _DEFAULT_PORTS[scheme])
    for name, value in (
        ("http.route", pattern or None),
        ("user_agent.original", agent or None),
        ("http.response.status_code", None if status == _CLIENT_GONE else status),
        ("error.type", failure),
        ("splicer.route", route),
        ("tls.protocol.version", None if tls is None else tls.removeprefix("TLSv")),
        ("splicer.fallback", fallback),
        ("splicer.protocol", protocol),
    ):
        if value is not None:
            pairs.append((name, value))
    return attributes(pairs)


# ---- its attempts, and the question to its authorizer ----


def _attempt(facts: Request, attempt: Attempt, trace_id: bytes, parent: bytes, sent: int) -> bytes:
    epoch, started, resolved = facts.epoch, attempt.started, attempt.resolved
    connected, answered = attempt.connected, attempt.answered
    # Both times are also those of failures, of which an event must not tell.
    events: list[tuple[int, str]] = []
    if resolved and attempt.endpoint is not None:
        events.append((_nanoseconds(epoch, resolved), "resolved"))
    if connected and answered:
        events.append((_nanoseconds(epoch, connected), "connected"))
    failure = attempt.failure or _status_failure(attempt.status)
    told = _client_attributes(
        facts.method,
        attempt.target.partition("/")[0],
        attempt.endpoint,
        attempt.status,
        failure,
        sent,
        attempt.upstream,
        attempt.pod,
    )
    if attempt.target:
        told += attribute("url.full", f"http://{attempt.target}")
    start, end = _times(epoch, started, max(started, resolved, connected, answered))
    method = facts.method if facts.method in _METHODS else "HTTP"
    span_id = bytes.fromhex(attempt.span_id)
    failed = failure is not None
    return encode_span(trace_id, span_id, parent, facts.state, method, CLIENT, start, end, told, events, error=failed)


def _question(facts: Request, asked: Asked, trace_id: bytes, parent: bytes) -> bytes:
    failure = _status_failure(asked.status) or (asked.failure if asked.status is None else None)
    named = asked.target.partition("/")[0]
    told = _client_attributes("GET", named, asked.endpoint, asked.status, failure, 0, asked.upstream, None)
    if asked.target:
        told += attribute("url.full", f"http://{asked.target}")
    start, end = _times(facts.epoch, asked.started, asked.started + asked.seconds)
    span_id = bytes.fromhex(asked.span_id)
    failed = failure is not None
    return encode_span(trace_id, span_id, parent, facts.state, "GET", CLIENT, start, end, told, error=failed)


def _status_failure(status: int | None) -> str | None:
    return str(status) if status is not None and status >= _CLIENT_ERROR else None


@lru_cache(maxsize=_KEPT)
def _client_attributes(
    method: str,
    named: str,
    endpoint: str | None,
    status: int | None,
    failure: str | None,
    sent: int,
    upstream: str,
    pod: str | None,
) -> bytes:
    pairs = [*_method(method)]
    if named:
        pairs += _server(named, _DEFAULT_PORTS["http"])
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
    return attributes(pairs)


# ---- the call ----


def _call(facts: Call) -> bytes:
    trace_id, handshake = bytes.fromhex(facts.trace_id), bytes.fromhex(facts.parent)
    told = _call_attributes(facts.route, facts.pod, facts.closer, facts.reason, facts.protocol, facts.adopted)
    told += _addresses(facts.client, "")
    told += attribute("splicer.bytes_to_pod", facts.to_pod) + attribute("splicer.bytes_to_client", facts.to_client)
    if facts.request_id is not None and facts.request_id != facts.parent:
        told += attribute("splicer.request_id", facts.request_id)
    if facts.client_line is not None:
        rtt, retransmits = facts.client_line
        told += attribute("splicer.client_rtt_ms", round(rtt * 1000, 3)) + _retransmits("client", retransmits)
    if facts.pod_line is not None:
        rtt, retransmits = facts.pod_line
        told += attribute("splicer.pod_rtt_ms", round(rtt * 1000, 3)) + _retransmits("pod", retransmits)
    start, end = _times(facts.epoch, facts.opened, facts.ended)
    own_trace = bytes.fromhex(facts.own_trace)
    name, span_id = f"tunnel {facts.route}", bytes.fromhex(facts.span_id)
    if not own_trace:
        return encode_span(trace_id, span_id, handshake, "", name, INTERNAL, start, end, told)
    link = Link(trace_id, handshake)
    return encode_span(own_trace, span_id, b"", "", name, INTERNAL, start, end, told, (), (link,))


@lru_cache(maxsize=_KEPT)
def _retransmits(side: str, number: int) -> bytes:
    return attribute(f"splicer.{side}_retransmits", number)


@lru_cache(maxsize=_KEPT)
def _call_attributes(
    route: str | None, pod: str | None, closer: str | None, reason: str | None, protocol: str | None, adopted: int
) -> bytes:
    named: tuple[tuple[str, Value | None], ...] = (
        ("splicer.route", route),
        ("splicer.pod", pod),
        ("splicer.closed_by", closer),
        ("splicer.reason", reason),
        ("splicer.protocol", protocol),
        ("splicer.adopted", adopted),
    )
    return attributes([(name, value) for name, value in named if value is not None])


# ---- their parts ----


def _method(method: str) -> list[tuple[str, Value]]:
    if method in _METHODS:
        return [("http.request.method", method)]
    return [("http.request.method", "_OTHER"), ("http.request.method_original", method)]


def _server(authority: str, usual: int) -> list[tuple[str, Value]]:
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = authority, str(usual)
    return [("server.address", host.strip("[]")), ("server.port", int(port))]


# A span of no negative length: both times are of one clock, but a later version may tell others.
def _times(epoch: int, started: float, ended: float) -> tuple[int, int]:
    start, end = epoch + int(started * _NANOSECONDS), epoch + int(ended * _NANOSECONDS)
    if start < 0:
        start = 0
    return start, end if end > start else start


def _nanoseconds(epoch: int, seconds: float) -> int:
    when = epoch + int(seconds * _NANOSECONDS)
    return when if when > 0 else 0
