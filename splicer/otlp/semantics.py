"""The spans of a request or a call, by OpenTelemetry's semantic conventions for HTTP.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/. Attributes that few values take are encoded once for each
combination: a process sees the same methods, routes, pods and agents over and over.
"""

from __future__ import annotations

from functools import lru_cache

from splicer.otlp.encoder import (
    CLIENT,
    FAILED,
    INTERNAL,
    SERVER,
    Value,
    attributes,
    encode_span,
    event,
    float_attribute,
    linked,
    named,
    nanoseconds,
    number_attribute,
    text_attribute,
    trace_state,
)
from splicer.otlp.facts import Asked, Attempt, Call, Request

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"

_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}  # those that are known
)
_SERVER_ERROR, _CLIENT_ERROR, _CLIENT_GONE = 500, 400, 499
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT = 1024  # combinations

_path, _query, _url = text_attribute("url.path"), text_attribute("url.query"), text_attribute("url.full", "http://")
_port, _request_id = number_attribute("client.port"), text_attribute("splicer.request_id")
_to_pod, _to_client = number_attribute("splicer.bytes_to_pod"), number_attribute("splicer.bytes_to_client")
_client_rtt, _pod_rtt = float_attribute("splicer.client_rtt_ms"), float_attribute("splicer.pod_rtt_ms")
_client_retransmits = number_attribute("splicer.client_retransmits")
_pod_retransmits = number_attribute("splicer.pod_retransmits")


def encoded_spans(facts: Request | Call) -> list[bytes]:
    """The spans, the first one's children behind it, each as a field of ScopeSpans.

    Raises:
        ValueError: an id is none.
    """
    if isinstance(facts, Call):
        return [_call(facts)]
    spans = [_request(facts)]
    if facts.asked is not None:
        spans.append(_question(facts, facts.asked))
    sent = 0  # requests that were sent before to serve this one
    for attempt in facts.attempts:
        sent += attempt.repeats
        spans.append(_attempt(facts, attempt, sent))
        sent += 1
    return spans


# ---- the request ----


def _request(facts: Request) -> bytes:
    attempts = facts.attempts
    told = _of_server(
        facts.method,
        facts.scheme,
        facts.version,
        facts.host,
        facts.pattern,
        facts.agent,
        facts.route,
        facts.status,
        facts.reason,
        attempts[-1].fallback if attempts else None,
        facts.protocol,
        facts.tls,
        facts.parent != "",
    )
    told += _addresses(facts.client, facts.peer) + _path(facts.path)
    if facts.port:
        told += _port(facts.port)
    if facts.query is not None:
        told += _query(facts.query)
    if facts.request_id is not None and facts.request_id != facts.span_id:
        told += _request_id(facts.request_id)
    if facts.state:
        told += trace_state(facts.state)
    if facts.link is not None:
        told += linked(*facts.link, remote=True)
    return encode_span(facts.trace_id, facts.span_id, facts.parent, facts.epoch, facts.started, facts.ended, told)


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
def _of_server(
    method: str,
    scheme: str,
    version: str,
    host: str,
    pattern: str,
    agent: str,
    route: str | None,
    status: int | None,
    reason: str | None,
    fallback: bool | None,
    protocol: str | None,
    tls: str | None,
    remote: bool,
) -> bytes:
    pairs = [*_method(method), ("url.scheme", scheme), ("network.protocol.version", version)]
    if host:
        pairs += _server(host, _DEFAULT_PORTS[scheme])
    for name, value in (
        ("http.route", pattern or None),
        ("user_agent.original", agent or None),
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


def _attempt(facts: Request, attempt: Attempt, sent: int) -> bytes:
    epoch, target, endpoint = facts.epoch, attempt.target, attempt.endpoint
    resolved, connected, answered = attempt.resolved, attempt.connected, attempt.answered
    told = _of_client(
        facts.method,
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
        told += event("resolved", nanoseconds(epoch, resolved))
    if connected and answered:
        told += event("connected", nanoseconds(epoch, connected))
    if target:
        told += _url(target)
    if facts.state:
        told += trace_state(facts.state)
    ended = max(resolved, connected, answered)
    return encode_span(facts.trace_id, attempt.span_id, facts.span_id, epoch, attempt.started, ended, told)


def _question(facts: Request, asked: Asked) -> bytes:
    failure = _status_failure(asked.status) or (asked.failure if asked.status is None else None)
    host = asked.target.partition("/")[0]
    told = _of_client("GET", host, asked.endpoint, asked.status, failure, 0, asked.upstream, None)
    if asked.target:
        told += _url(asked.target)
    told += trace_state(facts.state)
    ended = asked.started + asked.seconds
    return encode_span(facts.trace_id, asked.span_id, facts.span_id, facts.epoch, asked.started, ended, told)


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


def _call(facts: Call) -> bytes:
    told = _of_call(facts.route, facts.pod, facts.closer, facts.reason, facts.protocol, facts.adopted)
    told += _addresses(facts.client, "") + _to_pod(facts.to_pod) + _to_client(facts.to_client)
    if facts.request_id is not None and facts.request_id != facts.parent:
        told += _request_id(facts.request_id)
    if facts.client_line is not None:
        rtt, retransmits = facts.client_line
        told += _client_rtt(round(rtt * 1000, 3)) + _client_retransmits(retransmits)
    if facts.pod_line is not None:
        rtt, retransmits = facts.pod_line
        told += _pod_rtt(round(rtt * 1000, 3)) + _pod_retransmits(retransmits)
    epoch, opened, ended = facts.epoch, facts.opened, facts.ended
    if not facts.own_trace:
        return encode_span(facts.trace_id, facts.span_id, facts.parent, epoch, opened, ended, told)
    told += linked(facts.trace_id, facts.parent)
    return encode_span(facts.own_trace, facts.span_id, "", epoch, opened, ended, told)


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
