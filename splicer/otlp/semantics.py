"""The spans of a request or a call, by OpenTelemetry's semantic conventions for HTTP.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/. Attributes that few values take are encoded once for each
combination: a process sees the same methods, routes, pods and agents over and over.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from splicer.otlp.encoder import CLIENT, INTERNAL, SERVER, Link, Span, Value, attributes
from splicer.otlp.facts import Asked, Attempt, Call, Request

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"

_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}  # those that are known
)
_SERVER_ERROR, _CLIENT_ERROR, _CLIENT_GONE = 500, 400, 499
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT = 1024  # combinations
_NANOSECONDS = 1_000_000_000


def spans_of(facts: Request | Call) -> Iterator[Span]:
    """The spans, the first one's children behind it."""
    if isinstance(facts, Call):
        yield _call(facts)
        return
    yield _request(facts)
    trace_id, parent = bytes.fromhex(facts.trace_id), bytes.fromhex(facts.span_id)
    if facts.asked is not None:
        yield _question(facts, facts.asked, trace_id, parent)
    sent = 0  # requests that were sent before to serve this one
    for attempt in facts.attempts:
        sent += attempt.repeats
        yield _attempt(facts, attempt, trace_id, parent, sent)
        sent += 1


# ---- the request ----


def _request(facts: Request) -> Span:
    failure = _failure_of_request(facts)
    last = facts.attempts[-1] if facts.attempts else None
    fallback = None if last is None else last.fallback
    constant = _server_attributes(
        facts.method,
        facts.scheme,
        facts.version,
        facts.host,
        facts.pattern,
        facts.agent,
        facts.route,
        facts.status,
        failure,
        fallback,
        facts.protocol,
        facts.tls,
    )
    own: list[tuple[str, Value]] = [("url.path", facts.path), ("client.address", facts.client)]
    if facts.peer:
        own.append(("network.peer.address", facts.peer))
    if facts.port:
        own.append(("client.port", facts.port))
    if facts.query is not None:
        own.append(("url.query", facts.query))
    if facts.request_id:
        own.append(("splicer.request_id", facts.request_id))
    links: tuple[Link, ...] = ()
    if facts.link is not None:
        trace_id, span_id, state = facts.link
        links = (Link(bytes.fromhex(trace_id), bytes.fromhex(span_id), state, remote=True),)
    method = facts.method if facts.method in _METHODS else "HTTP"
    return Span(
        bytes.fromhex(facts.trace_id),
        bytes.fromhex(facts.span_id),
        bytes.fromhex(facts.parent),
        facts.state,
        f"{method} {facts.pattern}" if facts.pattern else method,
        SERVER,
        *_times(facts.epoch, facts.started, facts.ended),
        constant + attributes(own),
        links=links,
        error=facts.status is not None and facts.status >= _SERVER_ERROR,
        remote=bool(facts.parent),
    )


# A 4xx is the client's error, and so none of this span. The status of a client that has left was never sent.
def _failure_of_request(facts: Request) -> str | None:
    reason = None if facts.reason == "complete" else facts.reason
    if facts.status is None or facts.status == _CLIENT_GONE:
        return reason
    if facts.status >= _SERVER_ERROR:
        return reason or str(facts.status)
    return reason if facts.status < _CLIENT_ERROR else None


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


def _attempt(facts: Request, attempt: Attempt, trace_id: bytes, parent: bytes, sent: int) -> Span:
    epoch = facts.epoch
    # Both times are also those of failures, of which an event must not tell.
    events: list[tuple[int, str]] = []
    if attempt.resolved and attempt.endpoint is not None:
        events.append((_nanoseconds(epoch, attempt.resolved), "resolved"))
    if attempt.connected and attempt.answered:
        events.append((_nanoseconds(epoch, attempt.connected), "connected"))
    end = max(attempt.started, attempt.resolved, attempt.connected, attempt.answered)
    failure = attempt.failure or _status_failure(attempt.status)
    constant = _client_attributes(
        facts.method, attempt.target, attempt.endpoint, attempt.status, failure, sent, attempt.upstream, attempt.pod
    )
    return Span(
        trace_id,
        bytes.fromhex(attempt.span_id),
        parent,
        facts.state,
        facts.method if facts.method in _METHODS else "HTTP",
        CLIENT,
        *_times(epoch, attempt.started, end),
        constant,
        events,
        error=failure is not None,
    )


def _question(facts: Request, asked: Asked, trace_id: bytes, parent: bytes) -> Span:
    failure = _status_failure(asked.status) or (asked.failure if asked.status is None else None)
    constant = _client_attributes("GET", asked.target, asked.endpoint, asked.status, failure, 0, asked.upstream, None)
    return Span(
        trace_id,
        bytes.fromhex(asked.span_id),
        parent,
        facts.state,
        "GET",
        CLIENT,
        *_times(facts.epoch, asked.started, asked.started + asked.seconds),
        constant,
        error=failure is not None,
    )


def _status_failure(status: int | None) -> str | None:
    return str(status) if status is not None and status >= _CLIENT_ERROR else None


@lru_cache(maxsize=_KEPT)
def _client_attributes(
    method: str,
    target: str,
    endpoint: str | None,
    status: int | None,
    failure: str | None,
    sent: int,
    upstream: str,
    pod: str | None,
) -> bytes:
    pairs = [*_method(method)]
    if target:
        pairs += [*_server(target.partition("/")[0], _DEFAULT_PORTS["http"]), ("url.full", f"http://{target}")]
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


def _call(facts: Call) -> Span:
    handshake = bytes.fromhex(facts.trace_id), bytes.fromhex(facts.parent)
    own: list[tuple[str, Value]] = [
        ("splicer.bytes_to_pod", facts.to_pod),
        ("splicer.bytes_to_client", facts.to_client),
        ("splicer.adopted", facts.adopted),
        ("client.address", facts.client),
    ]
    if facts.request_id:
        own.append(("splicer.request_id", facts.request_id))
    for side, line in (("client", facts.client_line), ("pod", facts.pod_line)):
        if line is not None:
            rtt, retransmits = line
            own += [(f"splicer.{side}_rtt_ms", round(rtt * 1000, 3)), (f"splicer.{side}_retransmits", retransmits)]
    return Span(
        bytes.fromhex(facts.own_trace) or handshake[0],
        bytes.fromhex(facts.span_id),
        b"" if facts.own_trace else handshake[1],
        "",
        f"tunnel {facts.route}",
        INTERNAL,
        *_times(facts.epoch, facts.opened, facts.ended),
        _call_attributes(facts.route, facts.pod, facts.closer, facts.reason, facts.protocol) + attributes(own),
        links=(Link(*handshake),) if facts.own_trace else (),
    )


@lru_cache(maxsize=_KEPT)
def _call_attributes(
    route: str | None, pod: str | None, closer: str | None, reason: str | None, protocol: str | None
) -> bytes:
    named = (
        ("splicer.route", route),
        ("splicer.pod", pod),
        ("splicer.closed_by", closer),
        ("splicer.reason", reason),
        ("splicer.protocol", protocol),
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
    start = _nanoseconds(epoch, started)
    return start, max(start, _nanoseconds(epoch, ended))


def _nanoseconds(epoch: int, seconds: float) -> int:
    return max(0, epoch + int(seconds * _NANOSECONDS))
