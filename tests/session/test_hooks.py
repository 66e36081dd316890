"""Hooks decide about requests: what they see, what they may change, and each way in which they fail."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.configfile.hooks import HookGeneration, LoadedHook
from splicer.edits import Edits, HeaderEdits
from splicer.hook_settings import HookSettings
from splicer.hooks import Answer, Continue, Decision, Request
from splicer.model import Route, Upstream
from splicer.record import Record
from splicer.routing.value import parse_value
from splicer.session.hook_set import HookSet
from tests.kit.http import Message
from tests.session.edge import APP, CLIENT, SPARE, Edge, Told, answering, fallback_route, open_edge, route, upstream
from tests.session.message import GET, OK, POST, SWITCHING, UPGRADE, answer, get, read_answer
from tests.session.pods import noting

Decide = Callable[[Request], Awaitable[Any]]


@define
class HookTold(Told):
    called: list[tuple[str, str, str | None]] = field(factory=list)
    blocked: list[str] = field(factory=list)

    def hook_called(self, record: Record, hook: str, outcome: str, seconds: float, reason: str | None) -> None:
        self.called.append((hook, outcome, reason))

    def hook_blocked(self, hook: str, seconds: float) -> None:
        self.blocked.append(hook)


def use(edge: Edge, *decide: Decide, routes: Callable[..., Route] = route, **more: Any) -> HookTold:
    """Serve by one route with these hooks, named "1", "2" ...; `more`: of each one's settings, or `route_…`."""
    told = HookTold()
    edge.told = edge.context.observer = told  # the fixture's own is dropped
    of_route = {key.removeprefix("route_"): more.pop(key) for key in list(more) if key.startswith("route_")}
    loaded = {}
    for number, each in enumerate(decide, 1):
        settings = HookSettings(str(number), "m:C", **more)
        loaded[settings.name] = LoadedHook(settings, object(), each, None, None)
    edge.use(routes(hooks=tuple(hook.settings for hook in loaded.values()), **of_route))
    known = {"app": upstream("app"), "spare": upstream("spare"), "named": NAMED}
    edge.context.rules = evolve(edge.context.rules, hooks=HookSet(HookGeneration(loaded), known))
    return told


NAMED = upstream("named", "{pod}.named.test")


def returning(decision: object) -> Decide:
    async def decide(_: Request) -> object:
        return decision

    return decide


# ---- what a hook sees ----


async def test_a_hook_sees_the_head(edge: Edge) -> None:
    seen: list[Request] = []

    async def decide(request: Request) -> None:
        seen.append(request)

    told = use(
        edge, decide, routes=lambda **more: route("regex", "^/(?<who>[^/]+)", **more), route_upgrade=("websocket",)
    )
    edge.pods[APP] = answering(SWITCHING)
    asked = UPGRADE.replace(b"/ws ", b"/a%20b?c=d ").replace(b"Connection:", b"X-A: 1\r\nx-a: 2\r\nConnection:")
    client = await edge.ask(asked)
    assert (await read_answer(client)).status == 101
    [request] = seen
    assert (request.method, request.scheme, request.host, request.path, request.query) == (
        "GET", "http", "edge.test", "/a%20b", "c=d")  # fmt: skip
    assert (request.client, request.route, request.captures, request.protocol) == (
        CLIENT, "a route", {"who": "a%20b"}, "websocket")  # fmt: skip
    assert (request.values("X-A"), request.header("x-A"), request.header("x-b")) == (("1", "2"), "1, 2", None)
    assert request.target == "/a%20b?c=d"
    assert request.id == told.opened[0].id
    assert told.called == [("1", "continued", None)]
    client.end.close()


async def test_no_hook_is_called_for_a_request_that_the_route_refuses(edge: Edge) -> None:
    told = use(edge, returning(None), route_methods=("POST",))
    assert (await read_answer(await edge.ask(GET))).status == 405
    assert told.called == []


# ---- what it may decide ----


async def test_the_pod_gets_what_the_hook_has_made_of_the_request(edge: Edge) -> None:
    decision = Continue(
        set_headers={"X-Set": "é 1", "x-user": "alice"}, remove_headers=("X_Gone",), log={"a": "b", "n": 3, "ok": True}
    )
    told = use(edge, returning(decision))
    heard: list[Message] = []
    edge.pods[APP] = noting(heard, OK)
    fields = ("X-User: root", "X_User: root", "X-Gone: 1", "X-Stays: 1")
    assert (await read_answer(await edge.ask(get("/x", *fields)))).status == 200
    kept = [pair for pair in heard[0].fields if pair[0].lower().startswith(("x-s", "x-u", "x_", "x-g"))]
    assert kept == [("X-Stays", "1"), ("X-Set", "é 1"), ("x-user", "alice")]
    assert told.ended[0].hook_fields == (("a", "b"), ("n", 3), ("ok", True))


async def test_an_answer_reaches_the_client_and_no_pod(edge: Edge) -> None:
    edits = Edits(response=HeaderEdits(((b"X-Route", parse_value("yes")),)))
    decision = Answer(418, b"no\n", ((b"X-Why", b"tea"),), "text/x-tea")
    told = use(edge, returning(decision), returning(None), route_edits=edits)
    client = await edge.ask(GET + GET)
    for _ in range(2):
        found = await read_answer(client)
        assert (found.status, found.body, found.get("X-Why"), found.get("Content-Type"), found.get("X-Route")) == (
            418, b"no\n", "tea", "text/x-tea", "yes")  # fmt: skip
    assert edge.dialled == []
    assert told.called == [("1", "answered", None)] * 2
    assert (told.ended[0].close_reason, told.ended[0].detail, told.ended[0].status) == ("hook_answered", "1", 418)


async def test_a_hook_gives_captures(edge: Edge) -> None:
    edge.names.served["p-7.named.test"] = (SPARE,)
    use(
        edge,
        returning(Continue(captures={"pod": "p-7"})),
        captures=("pod",),
        route_upstream=NAMED,
        route_rewrite="/{pod}/x",
    )
    heard: list[Message] = []
    edge.pods[SPARE] = noting(heard, OK)
    assert (await read_answer(await edge.ask(POST))).status == 200
    assert heard[0].line == "POST /p-7/x HTTP/1.1"


async def test_a_hook_chooses_the_upstream_and_the_fallback_stays(edge: Edge) -> None:
    edge.names.served["p-7.named.test"] = ("10.0.0.9",)
    use(edge, returning(Continue(upstream="named", captures={"pod": "p-7"})), captures=("pod",), routes=fallback_route)
    edge.pods["10.0.0.9"] = answering(answer(b"bad", "502 Bad Gateway"))
    edge.pods[SPARE] = answering(OK)
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert edge.dialled == ["10.0.0.9", SPARE]


async def test_hooks_are_called_in_order_and_see_what_was_changed(edge: Edge) -> None:
    order: list[str | None] = []

    async def first(request: Request) -> Decision:
        order.append(request.header("X-A"))
        return Continue(remove_headers=("X-A",), set_headers={"X-B": "1"})

    async def second(request: Request) -> None:
        order.append(request.header("X-A"))

    use(edge, first, second)
    edge.pods[APP] = answering(OK)
    await read_answer(await edge.ask(get("/x", "X-A: 1")))
    assert order == ["1", None]


async def test_a_hook_may_wait_and_its_time_is_no_attempts(edge: Edge) -> None:
    async def decide(_: Request) -> None:
        await trio.sleep(3)

    use(edge, decide, deadline=5.0, route_deadlines={"attempts": 2.0})
    edge.pods[APP] = answering(OK)
    assert (await read_answer(await edge.ask(GET))).status == 200


# ---- how it fails ----


async def _raises(_: Request) -> None:
    raise ValueError("a bug")


async def _exits(_: Request) -> None:
    raise SystemExit(3)


async def _sleeps(_: Request) -> None:
    await trio.sleep_forever()


async def _cancels_itself(_: Request) -> Decision:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_raises, _)
        await trio.sleep_forever()
    return Continue()


def _wrong(decision: object, says: str) -> tuple[Decide, str, str]:
    return returning(decision), "failed", says


FAILURES = [
    (_raises, "failed", "ValueError: a bug"),
    (_exits, "failed", "SystemExit: 3"),
    (_sleeps, "deadline", "no decision within 0.2 s"),
    (_cancels_itself, "failed", "ExceptionGroup: Exceptions from Trio nursery (1 sub-exception)"),
    (lambda _: None, "failed", "AttributeError: 'NoneType' object has no attribute '__await__'"),
    _wrong(True, "returned bool, which is no Answer, Continue or None"),
    _wrong(Answer(101), "the status 101 is not between 200 and 599"),
    _wrong(Answer(True), "the status True is not between 200 and 599"),
    _wrong(Answer(200, "text"), "a body is bytes, 1048576 at most"),  # type: ignore[arg-type]  # foreign code
    _wrong(Answer(200, bytes(1 << 20) + b"x"), "a body is bytes, 1048576 at most"),
    _wrong(Answer(200, b"", content_type="a\r\nb"), "'a\\r\\nb' is no Content-Type"),
    _wrong(Answer(200, b"", ((b"Content-Length", b"3"),)), "an answer's Content-Length is the edge's"),
    _wrong(Answer(200, b"", ((b"A b", b"3"),)), "'A b' is no header name"),
    _wrong(Answer(200, b"", ((b"A", b"3\r\nB: 4"),)), "the value of A is no text without control characters"),
    _wrong(Answer(200, b"", (("A", "3"),)), "an answer's headers are pairs of bytes"),  # type: ignore[arg-type]
    _wrong(Continue(set_headers={"Host": "x"}), "Host is the edge's, or the client connection's"),
    _wrong(Continue(set_headers={"x_forwarded_for": "x"}), "x_forwarded_for is the edge's, or the client connection's"),
    _wrong(Continue(remove_headers=("Content-Length",)), "Content-Length is the edge's, or the client connection's"),
    _wrong(Continue(remove_headers=("Upgrade",)), "Upgrade is the edge's, or the client connection's"),
    _wrong(Continue(set_headers={"A": "x\r\nB: y"}), "the value of A is no text without control characters"),
    _wrong(Continue(set_headers={"A": "€"}), "the value of A is no text without control characters"),
    _wrong(Continue(set_headers={"A": 3}), "the value of A is no text without control characters"),  # type: ignore[dict-item]
    _wrong(Continue(set_headers={"A:": "3"}), "'A:' is no header name"),
    _wrong(Continue(remove_headers="X"), "set_headers is a mapping, remove_headers a sequence of names"),  # type: ignore[arg-type]
    _wrong(Continue(upstream="ap"), "'ap' is no upstream of the file"),
    _wrong(Continue(upstream="named"), "the upstream named needs {pod}, which is not known"),
    _wrong(Continue(captures={"pod": "a"}), "'pod' is a capture neither of the route nor of the hook's `captures`"),
    _wrong(Continue(log={"A": 1}), "'A' is no name of a log field: a small letter, then letters, digits and _"),
    _wrong(Continue(log={"a": float("nan")}), "the log field a is no string, boolean or number of 64 bits"),
    _wrong(Continue(log={"a": b""}), "the log field a is no string, boolean or number of 64 bits"),  # type: ignore[dict-item]
    _wrong(Continue(log={f"a{n}": 1 for n in range(9)}), "log is a mapping of at most 8 fields"),
]  # fmt: skip


@pytest.mark.parametrize(("decide", "outcome", "reason"), FAILURES)
@pytest.mark.parametrize("on_failure", ["refuse", "continue"])
async def test_each_failure(edge: Edge, decide: Decide, outcome: str, reason: str, on_failure: str) -> None:
    told = use(edge, decide, returning(None), on_failure=on_failure)
    heard: list[Message] = []
    edge.pods[APP] = noting(heard, OK)
    found = await read_answer(await edge.ask(get("/x", "A: 1")))
    assert told.called[0] == ("1", outcome, reason)
    if on_failure == "refuse":
        assert (found.status, found.get("Retry-After"), heard) == (503, "1", [])
        assert (told.ended[0].close_reason, told.ended[0].detail) == ("hook_failed", f"1: {reason}")
        assert len(told.called) == 1
    else:
        assert (found.status, heard[0].get("A"), heard[0].get("Host")) == (200, "1", "edge.test")
        assert told.called[1:] == [("2", "continued", None)]
    assert told.ended[0].hook_fields == ()


@pytest.mark.parametrize(
    ("captures", "reason"),
    [
        ({}, "it has not given the capture pod"),
        ({"pod": "a.b"}, "the capture pod is no DNS label: 'a.b'"),
        ({"pod": "10.0.0.1"}, "the capture pod is no DNS label: '10.0.0.1'"),
        ({"pod": "A"}, "the capture pod is no DNS label: 'A'"),
        ({"pod": ""}, "the capture pod is no DNS label: ''"),
        ({"pod": 7}, "the capture pod is no DNS label: 7"),
    ],
)
async def test_no_capture_leads_out_of_the_template(edge: Edge, captures: dict[str, Any], reason: str) -> None:
    told = use(edge, returning(Continue(captures=captures)), captures=("pod",), route_upstream=NAMED)
    assert (await read_answer(await edge.ask(GET))).status == 503
    assert told.called == [("1", "failed", reason)]
    assert edge.names.asked == []


async def test_a_hook_that_blocks_is_told(edge: Edge) -> None:
    async def decide(_: Request) -> None:
        sum(range(2_000_000))

    told = use(edge, decide)
    edge.pods[APP] = answering(OK)
    await read_answer(await edge.ask(GET))
    assert told.blocked == ["1"]


async def test_a_client_that_leaves_meanwhile(edge: Edge) -> None:
    told = use(edge, _sleeps, deadline=5.0, on_failure="continue")
    client = await edge.ask(GET)
    client.end.close()
    await edge.idle()
    assert edge.dialled == []
    assert told.ended[0].close_reason == "client_gone"


async def test_a_worker_that_stops_ends_the_hook(edge: Edge) -> None:
    ended = []

    async def decide(_: Request) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    use(edge, decide, deadline=10.0)
    await edge.ask(GET)
    await trio.testing.wait_all_tasks_blocked()
    edge.stop()
    await edge.idle()
    assert ended == [True]


async def test_no_failure_leaves_a_reference_cycle(edge: Edge) -> None:
    for decide in (_raises, _sleeps, _exits, returning(Answer(403)), returning(3)):
        use(edge, decide)
        await read_answer(await edge.ask(GET))
        gc.collect()
        await read_answer(await edge.ask(GET))
        assert gc.collect() == 0, decide


# ---- a law ----

_NAMES = (
    st.sampled_from(["X-A", "x_b", "Host", "Via", "TE", "Content-Length", "Sec-WebSocket-Key", "A b", "", "é"])
    | st.text()
)
_VALUES = st.sampled_from(["1", "", " a ", "a\r\nHost: evil", "\x00", "é", "€"]) | st.text()
_CONTINUES = st.builds(
    Continue,
    st.dictionaries(_NAMES, _VALUES, max_size=3),
    st.lists(_NAMES, max_size=2).map(tuple),
    st.dictionaries(st.sampled_from(["who", "x"]), st.sampled_from(["a", "a.b", "/"]), max_size=1),
    st.sampled_from([None, "app", "spare", "named", "evil.test"]),
)


@given(_CONTINUES)
def test_whatever_a_hook_decides_the_pod_gets_one_sound_request(decision: Continue) -> None:
    heard: list[Message] = []

    async def main() -> None:
        async with open_edge() as edge:
            told = use(edge, returning(decision), routes=lambda **more: route("regex", "^/(?<who>.)", **more))
            edge.pods[APP] = edge.pods[SPARE] = noting(heard, OK)
            found = await read_answer(await edge.ask(POST))
            assert found.status == (200 if told.called[0][1] == "continued" else 503)
            assert len(heard) == (found.status == 200)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    for message in heard:
        assert (message.line, message.get("Host"), message.body) == ("POST /x HTTP/1.1", "edge.test", b"body")
        assert message.values("Content-Length") == [b"4"]
        assert "evil" not in str([value for name, value in message.fields if name == "Host"])


def test_the_interfaces_values_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Continue().upstream = "x"  # type: ignore[misc]  # that is the point
    assert isinstance(Continue().set_headers, MappingProxyType)


def test_upstreams_of_the_file_alone() -> None:
    found = HookSet(HookGeneration({}), {"a": upstream("a")}).upstreams
    assert isinstance(found["a"], Upstream)
