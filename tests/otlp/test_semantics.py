"""What the spans of a request, its attempts and its call say, by names that OpenTelemetry's package knows."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import opentelemetry.semconv._incubating.attributes as incubating
import opentelemetry.semconv.attributes as stable
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from opentelemetry.semconv.schemas import Schemas

from splicer.arrival import Arrival
from splicer.errors import Side
from splicer.otlp.semantics import SCHEMA, span_of_call, spans_of_request
from splicer.quality import Quality
from splicer.record import Record
from tests.kit.otlp import CLIENT, INTERNAL, SERVER, values_of
from tests.otlp.samples import ASKED, ATTEMPT, EPOCH, SPAN, STRANGER, TRACE, attempt, call, record, text, trace

S = 1_000_000_000  # nanoseconds
_MODULES = [importlib.import_module(f"{stable.__name__}.{one.name}") for one in pkgutil.iter_modules(stable.__path__)]
_MODULES.append(importlib.import_module(f"{incubating.__name__}.tls_attributes"))
KNOWN = {
    value for module in _MODULES for name, value in vars(module).items() if isinstance(value, str) and name.isupper()
}


def decoded(spans: list[bytes]) -> list[Span]:
    return list(ScopeSpans.FromString(b"".join(spans)).spans)


def of(record: Record, ended: float | None = None, *, query: bool = False) -> list[Span]:
    assert record.trace is not None
    return decoded(spans_of_request(record, record.trace, ended or record.ended or 0.0, EPOCH, query=query))


def told(span: Span) -> dict[str, Any]:
    return values_of(span.attributes)


def of_call(record: Record, own_trace: str = "e" * 32) -> Span:
    assert record.trace is not None
    [span] = decoded([span_of_call(record, record.trace, record.ended or 0.0, EPOCH, own_trace, ATTEMPT)])
    return span


def test_a_request_and_its_attempt() -> None:
    server, client = of(record())
    assert (server.name, server.kind) == ("GET /ws/*", SERVER)
    assert (server.trace_id.hex(), server.span_id.hex(), server.parent_span_id) == (TRACE, SPAN, b"")
    assert (server.start_time_unix_nano, server.end_time_unix_nano) == (EPOCH + 9_990_000_000, EPOCH + 10_020_000_000)
    assert server.status.code == 0
    assert told(server) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/ws/x",
        "http.route": "/ws/*",
        "http.response.status_code": 200,
        "server.address": "edge.test",
        "server.port": 8443,
        "client.address": "192.0.2.7",
        "network.peer.address": "10.9.9.9",
        "network.protocol.version": "1.1",
        "user_agent.original": "a caller",
        "splicer.route": "calls",
        "splicer.request_id": "r-1",
        "splicer.fallback": False,
    }
    assert (client.name, client.kind, client.parent_span_id.hex()) == ("GET", CLIENT, SPAN)
    assert (client.trace_id.hex(), client.span_id.hex()) == (TRACE, ATTEMPT)
    assert (client.start_time_unix_nano, client.end_time_unix_nano) == (EPOCH + 10 * S, EPOCH + 10_010_000_000)
    assert [(one.name, one.time_unix_nano - EPOCH) for one in client.events] == [
        ("resolved", 10_001_000_000),
        ("connected", 10_002_000_000),
    ]
    assert told(client) == {
        "http.request.method": "GET",
        "server.address": "agent-3.pods.test",
        "server.port": 8000,
        "url.full": "http://agent-3.pods.test:8000/x",
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 8000,
        "http.response.status_code": 200,
        "splicer.upstream": "pod",
        "splicer.pod": "agent-3",
    }


def test_a_client_behind_who_has_ended_its_tls() -> None:
    arrival = Arrival("10.0.0.250", 50123, secure=True, facts=(("tls_version", "TLSv1.3"),))
    found = told(of(record(arrival=arrival, trace=trace(scheme="https")))[0])
    assert (found["network.peer.address"], found["client.port"]) == ("10.0.0.250", 50123)
    assert (found["tls.protocol.version"], found["url.scheme"]) == ("1.3", "https")
    own = Arrival("", secure=True, facts=(("tls_version", "TLSv1.2"),))
    found = told(of(record(arrival=own))[0])
    assert (found["network.peer.address"], found["tls.protocol.version"]) == ("10.9.9.9", "1.2")
    assert "client.port" not in found


def test_the_query_is_told_only_if_it_is_logged() -> None:
    assert "url.query" not in told(of(record())[0])
    assert told(of(record(), query=True)[0])["url.query"] == "token=secret"


def test_retries_and_a_fallback() -> None:
    failed = attempt(
        endpoint="[2001:db8::1]:8000", failure="connect_refused", status=None, answered=0.0, connected=10.003
    )
    again = attempt(started=10.1, resolved=0.0, connected=0.0, answered=10.11, status=503, failure="status", repeats=1)
    last = attempt(started=10.2, resolved=0.0, connected=10.21, answered=10.22, fallback=True, upstream="any")
    server, *clients = of(record(attempts=[failed, again, last]))
    assert told(server)["splicer.fallback"] is True
    assert [told(one).get("http.request.resend_count") for one in clients] == [None, 2, 3]
    assert [told(one).get("error.type") for one in clients] == ["connect_refused", "status", None]
    assert [one.status.code for one in clients] == [2, 2, 0]
    assert [[event.name for event in one.events] for one in clients] == [["resolved"], [], ["connected"]]
    assert told(clients[0])["network.peer.address"] == "2001:db8::1"
    assert "http.response.status_code" not in told(clients[0])
    assert clients[0].end_time_unix_nano - EPOCH == 10_003_000_000
    assert told(clients[2])["splicer.upstream"] == "any"


def test_an_attempt_without_an_endpoint() -> None:
    failed = attempt(endpoint=None, pod=None, failure="resolve_deadline", status=None, connected=0.0, answered=0.0)
    client = of(record(attempts=[failed]))[1]
    assert not client.events
    assert "network.peer.address" not in told(client)
    assert client.end_time_unix_nano - EPOCH == 10_001_000_000


@pytest.mark.parametrize(
    ("status", "reason", "error", "failed"),
    [
        (200, "complete", None, False),
        (101, None, None, False),
        (404, "no_route", None, False),
        (499, "client_gone", "client_gone", False),
        (200, "response_idle_deadline", "response_idle_deadline", False),
        (500, "complete", "500", True),
        (502, "connect_refused", "connect_refused", True),
        (503, "draining", "draining", True),
        (None, "shutdown", "shutdown", False),
    ],
)
def test_errors_of_the_request(status: int | None, reason: str | None, error: str | None, failed: bool) -> None:
    server = of(record(status=status, close_reason=reason))[0]
    assert told(server).get("error.type") == error
    assert server.status.code == (2 if failed else 0)
    assert told(server).get("http.response.status_code") == (None if status == 499 else status)


@pytest.mark.parametrize(("status", "error"), [(399, None), (404, "404"), (500, "500")])
def test_errors_of_an_attempt(status: int, error: str | None) -> None:
    client = of(record(attempts=[attempt(status=status)]))[1]
    assert told(client).get("error.type") == error
    assert client.status.code == (2 if error else 0)


def test_a_method_of_the_client_s_own_names_no_span() -> None:
    server, client = of(record(method="M-SEARCH", trace=trace(pattern="")))
    assert server.name == client.name == "HTTP"
    assert told(server)["http.request.method"] == told(client)["http.request.method"] == "_OTHER"
    assert told(server)["http.request.method_original"] == "M-SEARCH"
    assert "http.route" not in told(server)


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [("a.test", "a.test", 80), ("a.test:81", "a.test", 81), ("[::1]:81", "::1", 81), ("[::1]", "::1", 80)],
)
def test_hosts(host: str, address: str, port: int) -> None:
    found = told(of(record(host=host))[0])
    assert (found["server.address"], found["server.port"]) == (address, port)
    secure = told(of(record(host=host, trace=trace(scheme="https")))[0])
    assert secure["server.port"] == (443 if port == 80 else port)


def test_a_parent_and_a_stranger_s_trace() -> None:
    server = of(record(trace=trace(parent="c" * 16, state="x=1")))[0]
    assert (server.parent_span_id.hex(), server.trace_state, server.flags) == ("c" * 16, "x=1", 0x301)
    linked = of(record(trace=trace(link=STRANGER)))[0]
    assert linked.parent_span_id == b""
    assert linked.flags == 0x101
    [link] = linked.links
    assert (link.trace_id.hex(), link.span_id.hex(), link.trace_state) == ("1" * 32, "2" * 16, "a=1")


def test_the_question_to_an_authorizer() -> None:
    _, asked, tried = of(record(authorize=ASKED))
    assert (asked.name, asked.kind, asked.parent_span_id.hex(), asked.span_id.hex()) == ("GET", CLIENT, SPAN, "a" * 16)
    assert (asked.end_time_unix_nano - asked.start_time_unix_nano) // 1000 == 5000
    assert told(asked) == {
        "http.request.method": "GET",
        "server.address": "gate.test",
        "server.port": 80,
        "url.full": "http://gate.test:80/ask",
        "network.peer.address": "10.0.0.9",
        "network.peer.port": 80,
        "http.response.status_code": 200,
        "splicer.upstream": "gate",
    }
    assert "http.request.resend_count" not in told(tried)


def test_a_call_has_a_trace_of_its_own_with_a_link() -> None:
    span = of_call(call())
    assert (span.name, span.kind, span.parent_span_id) == ("tunnel calls", INTERNAL, b"")
    assert (span.trace_id.hex(), span.span_id.hex()) == ("e" * 32, ATTEMPT)
    [link] = span.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE, SPAN)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (EPOCH + 10_010_000_000, EPOCH + 100 * S)
    assert told(span) == {
        "splicer.route": "calls",
        "splicer.pod": "agent-3",
        "splicer.protocol": "websocket",
        "splicer.closed_by": "client",
        "splicer.reason": "eof",
        "splicer.bytes_to_pod": 1000,
        "splicer.bytes_to_client": 2000,
        "splicer.adopted": 1,
        "splicer.request_id": "r-1",
        "splicer.client_rtt_ms": 20.5,
        "splicer.client_retransmits": 3,
        "client.address": "192.0.2.7",
    }


def test_a_call_as_a_child() -> None:
    span = of_call(call(), own_trace="")
    assert (span.trace_id.hex(), span.parent_span_id.hex(), len(span.links)) == (TRACE, SPAN, 0)


def test_a_request_of_which_little_is_known() -> None:
    [server] = of(record(method=None, path=None, host=None, route=None, request_id=None, attempts=[]))
    assert server.name == "HTTP /ws/*"
    assert told(server) == {
        "http.request.method": "_OTHER",
        "http.request.method_original": "",
        "url.scheme": "http",
        "url.path": "",
        "http.route": "/ws/*",
        "http.response.status_code": 200,
        "client.address": "192.0.2.7",
        "network.peer.address": "10.9.9.9",
        "network.protocol.version": "1.1",
        "user_agent.original": "a caller",
    }


def test_texts_from_outside_are_cut() -> None:
    long = record(path="/" * 30_000, query="q" * 30_000, host="h" * 30_000, attempts=[attempt(target="t" * 30_000)])
    server, client = of(long, query=True)
    assert {len(told(server)[name]) for name in ("url.path", "url.query", "server.address")} == {1024}
    assert len(told(client)["url.full"]) == len("http://") + 1024
    assert server.ByteSize() + client.ByteSize() < 6000


def test_a_side_that_closed_is_a_text() -> None:
    assert told(of_call(call(closer=Side.POD)))["splicer.closed_by"] == "pod"


def test_both_lines_of_a_call() -> None:
    found = told(of_call(call(pod_line=Quality(0.00012345, 300))))
    assert (found["splicer.client_rtt_ms"], found["splicer.client_retransmits"]) == (20.5, 3)
    assert (found["splicer.pod_rtt_ms"], found["splicer.pod_retransmits"]) == (0.123, 300)


def test_a_line_whose_other_end_is_unknown() -> None:
    found = told(of_call(call(client_line=None, pod_line=Quality(0.00012345, 300))))
    assert (found["splicer.pod_rtt_ms"], found["splicer.pod_retransmits"]) == (0.123, 300)
    assert "splicer.client_rtt_ms" not in found


# It may be told after the call's end: its spans are encoded later.
def test_the_request_of_a_call_that_is_over_says_nothing_of_the_end() -> None:
    server, _ = of(call(close_reason="crash"))
    assert "error.type" not in told(server)


@given(text, text, text, text, text, st.integers(0, 2**60), st.integers(0, 2**60))
def test_all_texts_and_numbers_arrive(
    path: str, host: str, agent: str, target: str, route: str, up: int, down: int
) -> None:
    one = attempt(target=target)
    server, client = of(record(path=path, host=host, route=route, attempts=[one], trace=trace(agent=agent)))
    assert (told(server)["url.path"], told(server).get("user_agent.original", "")) == (path, agent)
    assert told(server)["splicer.route"] == route
    assert told(client).get("url.full", "http://") == f"http://{target}"
    found = told(of_call(call(to_pod=up, to_client=down)))
    assert (found["splicer.bytes_to_pod"], found["splicer.bytes_to_client"]) == (up, down)


def test_all_names_are_known() -> None:
    names = {name for span in (*of(record(authorize=ASKED), query=True), of_call(call())) for name in told(span)}
    names |= {
        "tls.protocol.version",
        "client.port",
        "error.type",
        "http.request.resend_count",
        "http.request.method_original",
    }
    assert {name for name in names if not name.startswith("splicer.")} <= KNOWN
    assert SCHEMA in {schema.value for schema in Schemas}


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_no_span_ends_before_it_begins(started: float, resolved: float, connected: float, answered: float) -> None:
    told = attempt(started=started, resolved=resolved, connected=connected, answered=answered)
    for span in of(record(started=started, attempts=[told]), answered):
        assert span.start_time_unix_nano <= span.end_time_unix_nano
