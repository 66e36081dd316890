"""An authorizer fails, lies or is slow: the client gets an answer in time, and no pod is reached by a lie."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.authorization import Authorize
from splicer.errors import ConnectFailed, ConnectRefused, NameNotFound, NoDescriptor, ResolveFailed, SplicerError
from tests.kit.http import Message, read_head, read_request
from tests.session.authorizers import AUTH, OTHER, PLACED, beginning, call, plain, rule, site
from tests.session.edge import APP, SPARE, Edge, Script, answering, upstream
from tests.session.message import GET, OK, POST, SWITCHING, UPGRADE, answer, get, read_answer
from tests.session.pods import noting, resetting, silent
from tests.session.wire import Peer, drip


def saying(*lines: str) -> Script:
    return answering("\r\n".join(("HTTP/1.1 200 OK", *lines, "Content-Length: 0", "", "")).encode("latin-1"))


def naming(*values: str) -> Script:
    return saying(*(f"X-Pod: {value}" for value in values))


async def closing(pod: Peer) -> None:
    await read_request(pod)
    await pod.send(b"HTTP/1.1 200 OK\r\nX-Pod: voice-3\r\n")
    pod.end.close()


async def a_long_head(pod: Peer) -> None:
    await read_request(pod)
    await pod.send(b"HTTP/1.1 200 OK\r\nX-Pod: voice-3\r\n")
    for number in range(10_000):
        await pod.send(b"X-%d: " % number + b"a" * 1000 + b"\r\n")


async def a_slow_head(pod: Peer) -> None:
    await read_head(pod)
    await drip(pod, b"HTTP/1.1 200 OK\r\nX-Pod: voice-3\r\nX: " + b"a" * 100, 0.1)


SMUGGLED = b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
FAILURES: dict[str, tuple[Script | SplicerError | None, int]] = {
    "refused": (ConnectRefused("no"), 503),
    "unreachable": (ConnectFailed("no"), 503),
    "no descriptor": (NoDescriptor("EMFILE"), 503),
    "no packet": (None, 504),
    "silent": (silent, 504),
    "reset": (resetting, 503),
    "closed": (closing, 503),
    "slow head": (a_slow_head, 504),
    "long head": (a_long_head, 503),
    "many informational": (answering(b"HTTP/1.1 103 Early\r\n\r\n" * 20), 503),
    "switching": (answering(SWITCHING), 503),
    "no http": (answering(b"SSH-2.0\r\n\r\n"), 503),
    "smuggled": (answering(b"HTTP/1.1 200 OK\r\nX-Pod: voice-3\r\n" + SMUGGLED), 503),
    "two lengths": (
        answering(b"HTTP/1.1 200 OK\r\nX-Pod: voice-3\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        503,
    ),
    "bare line feed": (answering(b"HTTP/1.1 200 OK\r\nX-Pod: voice-3\nX-User: x\r\n\r\n"), 503),
    **{
        f"status {status}": (answering(answer(b"", f"{status} What")), 503)
        for status in (400, 402, 405, 500, 502, 503, 504)
    },
}
LIES = [
    "../etc",
    "a.b",
    "A",
    "voice-3, voice-4",
    "10.0.0.1",
    "::1",
    "",
    "-",
    "x" * 64,
    "voice-3:80",
    "voice%2d3",
    "voice_3",
    "b@c",
]
UNNAMED: dict[str, Script] = {
    **{f"names {lie!r}": naming(lie) for lie in LIES},
    "names none": saying(),
    "names two": naming("voice-3", "voice-4"),
    "names one twice": naming("voice-3", "voice-3"),
}


async def outcome(edge: Edge, status: int, on_failure: str) -> None:
    """What becomes of a request whose authorizer has failed: it is told, or a pod serves it, all within the time."""
    told = await read_answer(await edge.ask(get("/x", "X-User: root")))
    assert trio.current_time() <= 2.001
    asked = edge.record.authorize
    assert asked is not None
    assert asked.failure == ("authorize_deadline" if status == 504 else "authorize_failed")
    assert asked.detail
    assert asked.detail.startswith("auth: ")
    assert edge.names.asked.count("auth.test") == 1
    if on_failure == "refuse":
        assert (told.status, told.get("Retry-After")) == (status, "1" if status == 503 else None)
        assert (edge.record.close_reason, edge.record.detail) == (asked.failure, asked.detail)
        assert set(edge.dialled) <= {AUTH}
    else:
        assert (told.status, edge.record.close_reason) == (200, "complete")


@pytest.mark.parametrize("on_failure", ["refuse", "fallback", "allow"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_each_failure_leads_where_the_route_says(edge: Edge, failure: str, on_failure: Any) -> None:
    authorizer, status = FAILURES[failure]
    heard = site(edge, authorizer, plain(on_failure=on_failure))
    await outcome(edge, status, on_failure)
    assert edge.dialled.count(AUTH) == 1, "nothing is asked twice"
    if on_failure == "refuse":
        assert heard == []
        return
    [request] = heard
    assert request.get("X-User") is None, "the client can't say who it is"
    assert edge.dialled[-1] == (SPARE if on_failure == "fallback" else APP)
    assert request.get("X-Splicer-Fallback-From") == ("" if on_failure == "fallback" else None)
    assert [attempt.fallback for attempt in edge.record.attempts] == [on_failure == "fallback"]


@pytest.mark.parametrize("on_failure", ["refuse", "fallback"])
@pytest.mark.parametrize("failure", [*UNNAMED, *FAILURES])
async def test_without_a_capture_no_pod_is_reached(edge: Edge, failure: str, on_failure: Any) -> None:
    authorizer, status = (UNNAMED[failure], 503) if failure in UNNAMED else FAILURES[failure]
    site(edge, authorizer, call(rule(on_failure=on_failure)))
    await outcome(edge, status, on_failure)
    assert set(edge.dialled) <= {AUTH, SPARE}
    assert set(edge.names.asked) <= {"auth.test", "spare.test"}


@pytest.mark.parametrize("lie", ["../etc", "a/b", "A", ""])
async def test_a_capture_for_the_path_alone_is_a_label_too(edge: Edge, lie: str) -> None:
    site(edge, naming(lie), call(upstream=upstream("app"), rewrite="/{pod}/x"))
    await outcome(edge, 503, "refuse")


async def test_a_label_that_makes_too_long_a_name(edge: Edge) -> None:
    site(edge, naming("x" * 63), call(upstream=upstream("pod", "voice-{pod}.pods.test")))
    await outcome(edge, 503, "refuse")


@pytest.mark.parametrize(
    ("served", "status"), [(NameNotFound("gone"), 503), (ResolveFailed("servers"), 503), (None, 504)]
)
@pytest.mark.parametrize("on_failure", ["refuse", "fallback", "allow"])
async def test_an_authorizer_without_an_address(
    edge: Edge, served: SplicerError | None, status: int, on_failure: Any
) -> None:
    site(edge, silent, plain(on_failure=on_failure))
    edge.names.served["auth.test"] = served
    await outcome(edge, status, on_failure)


@pytest.mark.parametrize("raw", [GET, POST, UPGRADE])
async def test_the_fallback_takes_any_request(edge: Edge, raw: bytes) -> None:
    site(edge, resetting, call(rule(on_failure="fallback")))
    edge.pods[SPARE] = answering(SWITCHING if raw is UPGRADE else OK)
    client = await edge.ask(raw)
    assert (await read_answer(client)).status == (101 if raw is UPGRADE else 200)
    assert edge.dialled == [AUTH, SPARE]
    client.end.close()


async def test_its_time_is_the_routes_own_and_no_attempts(edge: Edge) -> None:
    site(edge, silent, call(rule(on_failure="fallback"), deadlines={"authorize": 5, "attempts": 3, "handshake": 9}))
    edge.pods[SPARE] = silent
    assert (await read_answer(await edge.ask(GET))).status == 504
    assert trio.current_time() == pytest.approx(5 + 3)
    assert edge.record.authorize is not None
    assert edge.record.authorize.seconds == pytest.approx(5)
    assert edge.record.authorize.detail == "auth: no answer within 5 s"
    assert edge.record.close_reason == "attempts_deadline"


async def test_another_address_is_asked_only_while_nothing_is_written(edge: Edge) -> None:
    asked: list[Message] = []
    balanced = Authorize(upstream("auth", balance="round-robin"), "/place", captures=(("pod", "X-Pod"),))
    site(edge, ConnectRefused("no"), call(balanced))
    edge.names.served["auth.test"] = (OTHER, AUTH)
    edge.pods[OTHER] = noting(asked, PLACED)
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert len(asked) == 1
    edge.dialled.clear()
    edge.told.ended.clear()
    edge.pods |= {OTHER: resetting, AUTH: resetting}
    assert (await read_answer(await edge.ask(GET))).status == 503
    assert len(edge.dialled) == 1


@pytest.mark.parametrize("authorizer", [None, silent])
async def test_a_client_that_leaves_is_asked_about_no_longer(edge: Edge, authorizer: Script | None) -> None:
    site(edge, authorizer)
    client = await edge.ask(GET)
    await wait_all_tasks_blocked()
    client.end.close()
    await edge.idle()
    assert trio.current_time() < 2
    assert (edge.record.status, edge.record.close_reason) == (499, "client_gone")
    assert edge.record.authorize is not None
    assert edge.record.authorize.failure == "client_gone"
    assert edge.dialled == [AUTH]


async def test_a_client_that_leaves_during_a_refusals_body(edge: Edge) -> None:
    site(edge, beginning(b"HTTP/1.1 401 No", b"Content-Length: 9\r\n\r\n", close=False))
    client = await edge.ask(GET)
    await wait_all_tasks_blocked()
    client.end.close()
    await edge.idle()
    assert edge.record.status == 499


async def test_a_worker_that_stops_meanwhile(edge: Edge) -> None:
    site(edge, silent)
    await edge.ask(GET)
    await wait_all_tasks_blocked()
    edge.stop()
    await edge.idle()
    assert edge.record.authorize is not None
    assert edge.record.authorize.failure == "abandoned"


async def test_what_an_authorizer_s_endpoint_did_is_reported(edge: Edge) -> None:
    reported: list[tuple[str, str | None, str | None]] = []
    edge.context.report = lambda outcome: reported.append((outcome.upstream, outcome.endpoint, outcome.failure))
    for authorizer in (answering(PLACED), answering(answer(b"", "500 Oh")), resetting):
        site(edge, authorizer, call(rule(on_failure="fallback")))
        await read_answer(await edge.ask(GET))
    told = [failure for name, endpoint, failure in reported if name == "auth" and endpoint == f"{AUTH}:8000"]
    assert told == [None, None, "pod_reset"]
