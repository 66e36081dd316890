"""Each deadline of design §7 that a session keeps for its pods, to the second, and as a route of its own sets it."""

from __future__ import annotations

import pytest
import trio

from splicer.errors import ConnectRefused, SplicerError
from tests.kit.http import read_request
from tests.session.edge import APP, SPARE, Edge, Script, answering, fallback_route, route
from tests.session.message import GET, OK, SWITCHING, UPGRADE, answer, read_answer
from tests.session.pods import silent
from tests.session.wire import Peer, drip

DEFAULTS = {"resolve": 2.0, "connect": 3.0, "handshake": 10.0, "attempts": 15.0}


# One stage hangs; nothing else is in its way.
STAGES: list[tuple[str, str]] = [
    ("resolve", "resolve_deadline"),
    ("connect", "connect_deadline"),
    ("handshake", "handshake_deadline"),
]


def hang(edge: Edge, stage: str) -> None:
    pods: dict[str, Script | SplicerError | None] = {"resolve": None, "connect": None, "handshake": silent}
    edge.pods[APP] = pods[stage]
    if stage == "resolve":
        edge.names.served["app.test"] = None


@pytest.mark.parametrize("protocol", ["http", "websocket"])
@pytest.mark.parametrize("own", [None, 0.5, 1.25])
@pytest.mark.parametrize(("stage", "reason"), STAGES)
async def test_each_stage_of_an_attempt_ends_in_time(
    edge: Edge, stage: str, reason: str, own: float | None, protocol: str
) -> None:
    edge.use(route(upgrade=("websocket",), deadlines={} if own is None else {stage: own}))
    hang(edge, stage)
    client = await edge.ask(GET if protocol == "http" else UPGRADE)
    assert (await read_answer(client)).status == 504
    assert trio.current_time() == pytest.approx(own or DEFAULTS[stage])
    assert edge.record.close_reason == reason
    assert edge.record.closer == "proxy"
    assert [attempt.failure for attempt in edge.record.attempts] == [reason]


async def test_a_deadline_is_the_routes_own(edge: Edge) -> None:
    edge.use(
        route("path", "/soon", deadlines={"handshake": 1}),
        route("path", "/late", deadlines={"handshake": 9}),
    )
    edge.pods[APP] = silent
    for path, seconds in ((b"/soon", 1), (b"/late", 9)):
        started = trio.current_time()
        assert (await read_answer(await edge.ask(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n"))).status == 504
        assert trio.current_time() - started == pytest.approx(seconds)


async def test_a_head_that_drips_does_not_count_anew(edge: Edge) -> None:
    edge.use(fallback_route())

    async def dripping(pod: Peer) -> None:
        await drip(pod, b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100, 1)

    edge.pods |= {APP: dripping, SPARE: answering(OK)}
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert trio.current_time() == pytest.approx(10)


async def test_informational_answers_do_not_count_anew(edge: Edge) -> None:
    async def hinting(pod: Peer) -> None:
        while True:
            await pod.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await trio.sleep(1)

    edge.pods[APP] = hinting
    client = await edge.ask(GET)
    while (told := await read_answer(client)).status == 103:
        pass
    assert told.status == 504
    assert trio.current_time() == pytest.approx(10)


async def test_nothing_follows_an_informational_answer_that_was_cut_off(edge: Edge) -> None:
    edge.use(fallback_route())

    async def hinting(pod: Peer) -> None:
        await pod.send(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 5000 + b"\r\n\r\n")
        await silent(pod)

    edge.pods |= {APP: hinting, SPARE: answering(OK)}
    edge.capacity = 1000
    client = edge.connect()
    edge.capacity = 10_000
    await client.send(GET)
    await trio.sleep(30)  # it doesn't read, and the head's time runs out in the middle
    received = await client.rest()
    assert received.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: x")
    assert received.count(b"HTTP/1.1") == 1
    assert [attempt.upstream for attempt in edge.record.attempts] == ["app"]


async def test_all_attempts_together_end_in_time(edge: Edge) -> None:
    edge.use(fallback_route(deadlines={"attempts": 5, "connect": 3, "handshake": 4}))
    edge.pods |= {APP: None, SPARE: silent}
    assert (await read_answer(await edge.ask(GET))).status == 504
    assert trio.current_time() == pytest.approx(5)
    assert [attempt.failure for attempt in edge.record.attempts] == ["connect_deadline", "attempts_deadline"]


async def test_all_attempts_together_have_a_deadline_by_default(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.pods |= {APP: silent, SPARE: silent}
    assert (await read_answer(await edge.ask(GET))).status == 504
    assert trio.current_time() == pytest.approx(15)


async def test_no_attempt_begins_when_the_time_for_all_is_over(edge: Edge) -> None:
    edge.use(fallback_route(deadlines={"attempts": 2}))
    edge.pods |= {APP: None, SPARE: answering(OK)}
    assert (await read_answer(await edge.ask(GET))).status == 504
    assert trio.current_time() == pytest.approx(2)
    assert edge.dialled == [APP]
    assert edge.record.close_reason == "attempts_deadline"


async def test_a_status_that_comes_with_the_last_second_is_relayed(edge: Edge) -> None:
    edge.use(fallback_route(deadlines={"attempts": 2}))

    async def late(pod: Peer) -> None:
        await read_request(pod)
        await trio.sleep(2)
        await pod.send(answer(b"busy", "503 Busy"))

    edge.pods |= {APP: late, SPARE: answering(OK)}
    told = await read_answer(await edge.ask(GET))
    assert told.status in (503, 504)
    assert edge.dialled == [APP]


@pytest.mark.parametrize("own", [{}, {"response": 7.0}])
async def test_a_client_that_withholds_its_body_is_told_so(edge: Edge, own: dict[str, float]) -> None:
    edge.use(fallback_route(deadlines=own))
    edge.pods |= {APP: silent, SPARE: answering(OK)}
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (408, "close")
    assert trio.current_time() == pytest.approx(own.get("response", 60))  # by `body_idle`, unless the whole ends first
    assert (edge.record.closer, edge.record.close_reason) == ("proxy", "body_deadline")
    assert edge.dialled == [APP]
    assert [attempt.failure for attempt in edge.record.attempts] == ["abandoned"]


async def test_a_pod_that_withholds_its_answer_is_at_fault(edge: Edge) -> None:
    edge.use(route(deadlines={"response": 5, "handshake": 10}))
    edge.pods[APP] = silent
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345")
    assert (await read_answer(client)).status == 504
    assert trio.current_time() == pytest.approx(5)
    assert edge.record.close_reason == "response_deadline"
    assert [(attempt.endpoint, attempt.failure) for attempt in edge.record.attempts] == [(f"{APP}:8000", "abandoned")]


async def test_the_time_of_the_body_is_not_the_pods(edge: Edge) -> None:
    """A pod can't answer before it has the request: handshake and attempts begin when it does."""
    edge.use(route(deadlines={"handshake": 2, "attempts": 3, "response": 60}))

    async def late(pod: Peer) -> None:
        await read_request(pod)
        await trio.sleep(1.5)
        await pod.send(OK)

    edge.pods[APP] = late
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
    await drip(client, b"x" * 20, 1)
    assert (await read_answer(client)).status == 200


async def test_the_time_of_the_body_is_not_the_pods_when_an_attempt_breaks_off(edge: Edge) -> None:
    edge.use(fallback_route(deadlines={"attempts": 3, "response": 60}))

    async def breaking_off(pod: Peer) -> None:
        await pod.until(b"one")
        await trio.sleep(20)
        pod.end.reset()

    edge.pods |= {APP: breaking_off, SPARE: answering(OK)}
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\none")
    await trio.sleep(21)
    await client.send(b"two")
    assert (await read_answer(client)).status == 200
    assert edge.dialled == [APP, SPARE]


async def test_the_clock_starts_once_for_each_attempt(edge: Edge) -> None:
    """The first attempt's body, still on its way, says nothing about the second's time."""
    edge.use(fallback_route(deadlines={"handshake": 4, "response": 60}))

    async def deaf(pod: Peer) -> None:
        await trio.sleep(1)
        pod.end.reset()

    edge.capacity = 1000
    edge.pods |= {APP: deaf, SPARE: silent}
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 600\r\n\r\n" + b"x" * 600)
    assert (await read_answer(client)).status == 504
    assert trio.current_time() == pytest.approx(5)


async def test_the_first_attempts_body_does_not_stop_the_seconds_clock(edge: Edge) -> None:
    """It waits for room when its pod answers; it learns that it was given up when the second one is under way."""
    edge.use(fallback_route(deadlines={"handshake": 4, "response": 60}))
    edge.capacity = 1000

    async def refusing(pod: Peer) -> None:
        await trio.sleep(1)
        await pod.send(answer(b"", "503 Busy"))

    async def silent_after_all(pod: Peer) -> None:
        await read_request(pod)

    edge.pods |= {APP: refusing, SPARE: silent_after_all}
    client = edge.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000)
        assert (await read_answer(client)).status == 504
    assert trio.current_time() == pytest.approx(5)


async def test_the_time_of_the_body_is_left_out_once(edge: Edge) -> None:
    edge.use(fallback_route(deadlines={"handshake": 2, "attempts": 3, "response": 60}))
    edge.pods |= {APP: silent, SPARE: silent}
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    await drip(client, b"x" * 5, 1)
    assert (await read_answer(client)).status == 504
    assert trio.current_time() == pytest.approx(4 + 3)


async def test_asking_again_for_a_name_is_in_the_time_of_all_attempts(edge: Edge) -> None:
    edge.use(fallback_route(deadlines={"attempts": 2, "resolve": 10}))
    edge.names.cache["app.test"] = ("10.0.9.9",)
    edge.names.served["app.test"] = None
    edge.pods |= {"10.0.9.9": ConnectRefused("no"), SPARE: answering(OK)}
    assert (await read_answer(await edge.ask(GET))).status == 502
    assert trio.current_time() == pytest.approx(2)
    assert edge.dialled == ["10.0.9.9"]


async def test_a_tunnel_has_its_routes_deadlines(edge: Edge) -> None:
    edge.use(
        route("path", "/x"),
        route(upgrade=("websocket",), deadlines={"idle": 7, "half_closed": 8, "lifetime": 9, "response": 1}),
    )
    edge.pods[APP] = answering(SWITCHING)
    client = await edge.ask(UPGRADE)
    assert (await read_answer(client)).status == 101
    await trio.sleep(5)  # `response` is none of a tunnel's
    [call] = edge.spliced
    assert (call.limits.idle, call.limits.half_closed, call.limits.lifetime) == (7, 8, 9)
    assert edge.told.closed == []
