"""Traces of requests: continued, begun, linked; what pods and authorizers are told."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest
from attrs import evolve

from splicer.config.tracing import TracingSettings
from splicer.errors import ConnectRefused
from splicer.session.tracing import Tracing, new_trace_id
from splicer.trace import RequestTrace, SpanContext
from tests.kit.http import Message
from tests.session.authorizers import PLACED, site
from tests.session.edge import APP, CLIENT, SPARE, Edge, answering, fallback_route, route
from tests.session.message import SWITCHING, UPGRADE, answer, get, read_answer
from tests.session.pods import noting

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"traceparent: 00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"traceparent: 00-{TRACE}-{SPAN}-00"
PROXY = (ip_network(CLIENT),)


def trace(edge: Edge, *, trusted: bool = True, patterns: Mapping[str, str] | None = None, **settings: Any) -> None:
    """Trace from now on, by these settings."""
    tracing = Tracing(TracingSettings(**settings), patterns or {})
    edge.context.rules = evolve(edge.context.rules, tracing=tracing, trusted_proxies=PROXY if trusted else ())


@pytest.fixture
def heard(edge: Edge) -> list[Message]:
    """What `app` gets."""
    heard: list[Message] = []
    edge.use(route(name="a route"))
    edge.pods[APP] = noting(heard)
    return heard


async def ask(edge: Edge, *fields: str) -> RequestTrace:
    client = await edge.ask(get("/x", *fields))
    await read_answer(client)
    client.end.close()
    found = edge.told.ended[-1].trace
    assert found is not None
    return found


def told(message: Message) -> list[tuple[str, str]]:
    return [field for field in message.fields if field[0].lower().replace("_", "-").startswith(("trace", "b3", "x-b3"))]


async def test_without_tracing_trace_headers_pass_through_untouched(edge: Edge, heard: list[Message]) -> None:
    client = await edge.ask(get("/x", SAMPLED, "TraceState: a=1", "b3: 0", "X-B3-Sampled: 1", "X_B3_TraceId: 2"))
    await read_answer(client)
    assert told(heard[0]) == [
        ("traceparent", f"00-{TRACE}-{SPAN}-01"),
        ("TraceState", "a=1"),
        ("b3", "0"),
        ("X-B3-Sampled", "1"),
        ("X_B3_TraceId", "2"),
    ]
    assert edge.told.ended[0].trace is None
    assert edge.told.ended[0].attempts[0].span == ""
    client.end.close()


async def test_a_trusted_trace_goes_on(edge: Edge, heard: list[Message]) -> None:
    trace(edge, sample=0.0, patterns={"a route": "/*"})
    found = await ask(edge, SAMPLED, "tracestate: a=1", "tracestate: b=2", "User-Agent: curl")
    [attempt] = edge.told.ended[0].attempts
    assert found == RequestTrace(
        TRACE,
        edge.told.ended[0].id,
        sampled=True,
        parent=SPAN,
        state="a=1,b=2",
        agent="curl",
        peer=CLIENT,
        pattern="/*",
    )
    assert len(attempt.span) == 16
    assert len({attempt.span, SPAN, found.span_id}) == 3
    assert told(heard[0]) == [("traceparent", f"00-{TRACE}-{attempt.span}-01"), ("tracestate", "a=1,b=2")]


async def test_a_trusted_decision_against_it_holds(edge: Edge, heard: list[Message]) -> None:
    trace(edge, sample=1.0)
    found = await ask(edge, UNSAMPLED)
    assert (found.trace_id, found.sampled) == (TRACE, False)
    assert told(heard[0])[0][1].endswith("-00")


@pytest.mark.parametrize(("trust", "proxy"), [("proxies", False), ("nobody", True), ("nobody", False)])
async def test_a_stranger_s_trace_is_linked(edge: Edge, heard: list[Message], trust: Any, proxy: bool) -> None:
    trace(edge, trusted=proxy, trust=trust, sample=0.0)
    found = await ask(edge, SAMPLED, "tracestate: a=1", "b3: d", "X-B3-TraceId: 1", "x_b3-flags: 1")
    assert found.link == SpanContext(TRACE, SPAN, True, "a=1")
    assert (found.parent, found.state, found.sampled) == ("", "", False)
    assert found.trace_id not in (TRACE, "0" * 32)
    [attempt] = edge.told.ended[0].attempts
    assert told(heard[0]) == [("traceparent", f"00-{found.trace_id}-{attempt.span}-00")]


async def test_anyone_may_be_trusted(edge: Edge, heard: list[Message]) -> None:
    trace(edge, trusted=False, trust="anyone", sample=0.0)
    assert (await ask(edge, SAMPLED)).parent == SPAN


@pytest.mark.parametrize("field", ["X-Other: 1", "traceparent: 00-1-2-01", f"b3: {TRACE}-{SPAN}-1"])
async def test_without_a_place_that_is_read_a_trace_begins(edge: Edge, heard: list[Message], field: str) -> None:
    trace(edge, sample=1.0)
    found = await ask(edge, field)
    assert (found.parent, found.link, found.sampled) == ("", None, True)
    other = await ask(edge, field)
    assert found.trace_id != other.trace_id


async def test_b3_alone_may_decide(edge: Edge, heard: list[Message]) -> None:
    trace(edge, sample=1.0, propagate=("b3",))
    found = await ask(edge, "b3: 0")
    assert (found.parent, found.sampled) == ("", False)
    trace(edge, trusted=False, sample=1.0, propagate=("b3",))
    found = await ask(edge, "b3: 0")
    assert (found.sampled, found.link) == (True, None), "a stranger decides nothing"


async def test_b3_that_leaves_the_decision_to_us(edge: Edge, heard: list[Message]) -> None:
    trace(edge, sample=1.0, propagate=("b3-multi", "w3c"))
    found = await ask(edge, f"X-B3-TraceId: {TRACE}", f"X-B3-SpanId: {SPAN}", f"X-B3-ParentSpanId: {SPAN}")
    assert (found.trace_id, found.parent, found.sampled) == (TRACE, SPAN, True)
    [attempt] = edge.told.ended[0].attempts
    assert told(heard[0]) == [
        ("traceparent", f"00-{TRACE}-{attempt.span}-01"),
        ("X-B3-TraceId", TRACE),
        ("X-B3-SpanId", attempt.span),
        ("X-B3-Sampled", "1"),
    ]


async def test_a_long_agent_is_cut(edge: Edge, heard: list[Message]) -> None:
    trace(edge)
    assert (await ask(edge, f"User-Agent: {'x' * 5000}")).agent == "x" * 256


async def test_every_attempt_has_a_span_of_its_own(edge: Edge) -> None:
    heard: list[Message] = []
    edge.use(fallback_route())
    edge.pods |= {APP: noting(heard, answer(b"", "503 Busy")), SPARE: noting(heard)}
    trace(edge, sample=1.0)
    found = await ask(edge)
    first, second = edge.told.ended[0].attempts
    assert [told(one)[0][1] for one in heard] == [
        f"00-{found.trace_id}-{attempt.span}-01" for attempt in (first, second)
    ]
    assert first.span != second.span
    assert (first.status, second.status) == (503, 200)
    assert (first.target, second.target) == ("app.test:8000/x", "spare.test:8000/x")
    assert 0 <= first.started <= first.resolved <= first.connected <= first.answered <= second.started


async def test_an_attempt_that_fails_to_connect(edge: Edge) -> None:
    edge.use(route())
    edge.pods[APP] = ConnectRefused("no")
    trace(edge)
    await ask(edge)
    [attempt] = edge.told.ended[0].attempts
    assert (attempt.status, attempt.answered, attempt.connected >= attempt.resolved) == (None, 0.0, True)


async def test_a_request_that_is_refused_has_a_trace(edge: Edge) -> None:
    edge.use(route("path", "/only"))
    trace(edge)
    found = await ask(edge, SAMPLED)
    assert (found.trace_id, found.pattern) == (TRACE, "")


async def test_an_authorizer_gets_a_span_of_its_own(edge: Edge) -> None:
    asked: list[Message] = []
    heard = site(edge, noting(asked, PLACED))
    trace(edge)
    found = await ask(edge, SAMPLED)
    record = edge.told.ended[0]
    assert record.authorize is not None
    assert told(asked[0]) == [("traceparent", f"00-{TRACE}-{record.authorize.span}-01")]
    assert told(heard[0]) == [("traceparent", f"00-{TRACE}-{record.attempts[0].span}-01")]
    assert len({found.span_id, record.authorize.span, record.attempts[0].span}) == 3
    assert (record.authorize.target, record.authorize.upstream) == ("auth.test:8000/place", "auth")


async def test_a_tunnel_is_opened_in_its_trace(edge: Edge) -> None:
    edge.use(route(upgrade=("websocket",)))
    edge.pods[APP] = answering(SWITCHING)
    trace(edge, sample=1.0)
    client = await edge.ask(UPGRADE)
    assert (await read_answer(client)).status == 101
    opened = edge.told.opened[0].trace
    assert opened is not None
    assert opened.opened >= edge.told.opened[0].started
    client.end.close()
    await edge.idle()
    assert edge.told.closed[0].trace == opened


def test_ids_are_random_and_of_the_right_length() -> None:
    ids = {new_trace_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert {len(one) for one in ids} == {32}
