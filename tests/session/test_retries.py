"""Retries: other endpoints of the same upstream, then the fallback; nothing is sent twice that must not be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.errors import ConnectRefused, NameNotFound, SplicerError
from splicer.session.context import Drains
from tests.kit.http import Message, read_head, read_request
from tests.kit.laws import examples
from tests.session.edge import SPARE, SPARE_UPSTREAM, Edge, Script, answering, open_edge, playing, route, upstream
from tests.session.message import GET, OK, PUT, SWITCHING, UPGRADE, answer, chunks, read_answer
from tests.session.pods import noting, resetting, silent
from tests.session.wire import Peer

ONE, TWO, THREE = "10.0.1.1", "10.0.1.2", "10.0.1.3"
BUSY = answering(answer(b"busy", "503 Busy"))
NAMED = upstream("pod", "{pod}.pods.test")


def several(edge: Edge, *addresses: str, **keys: Any) -> None:
    """`app` has these addresses, in turn; it is retried twice."""
    edge.names.served["app.test"] = addresses
    edge.use(route(**{"upstream": upstream("app", balance="round-robin"), "retries": 2, **keys}))


def tried(edge: Edge) -> list[tuple[str, str | None]]:
    """Of each attempt, the address and the failure."""
    return [((attempt.endpoint or "").partition(":")[0], attempt.failure) for attempt in edge.record.attempts]


@pytest.mark.parametrize(
    ("failing", "reason"), [(BUSY, "status"), (resetting, "pod_reset"), (silent, "handshake_deadline")]
)
@pytest.mark.parametrize("raw", [GET, PUT])
async def test_another_endpoint_of_the_same_upstream_serves(
    edge: Edge, failing: Script, reason: str, raw: bytes
) -> None:
    several(edge, ONE, TWO, deadlines={"handshake": 1})
    requests: list[Message] = []
    edge.pods |= {ONE: failing, TWO: noting(requests)}
    assert (await read_answer(await edge.ask(raw))).status == 200
    assert tried(edge) == [(ONE, reason), (TWO, None)]
    [request] = requests
    assert request.get("X-Splicer-Fallback-From") is None
    assert request.body == (b"body" if raw is PUT else b"")
    assert edge.record.upstream == "app"


async def test_a_call_that_a_full_pod_refuses_goes_to_another_one(edge: Edge) -> None:
    several(edge, ONE, TWO, upgrade=("websocket",))
    edge.pods |= {ONE: BUSY, TWO: answering(SWITCHING)}
    client = await edge.ask(UPGRADE)
    assert (await read_answer(client)).status == 101
    assert edge.dialled == [ONE, TWO]
    client.end.close()


@pytest.mark.parametrize("retries", range(6))
async def test_as_many_endpoints_as_the_route_says_then_the_fallback_s(edge: Edge, retries: int) -> None:
    addresses, spares = [f"10.0.1.{last}" for last in range(1, 9)], [f"10.0.2.{last}" for last in range(1, 9)]
    several(edge, *addresses, retries=retries, fallback=upstream("spare", balance="round-robin"))
    edge.names.served["spare.test"] = tuple(spares)
    edge.pods |= dict.fromkeys(addresses + spares, BUSY)
    told = await read_answer(await edge.ask(GET))
    assert (told.status, told.body) == (503, b"busy"), "the last pod's own answer"
    attempts = edge.record.attempts
    assert [attempt.fallback for attempt in attempts] == [False] * (1 + retries) + [True] * (1 + retries)
    assert len(set(edge.dialled)) == len(attempts) == 2 * (1 + retries), "each is another one"
    assert [attempt.failure for attempt in attempts] == ["status"] * (len(attempts) - 1) + [None]


async def test_every_try_at_the_fallback_knows_who_failed(edge: Edge) -> None:
    several(edge, ONE, fallback=upstream("spare", balance="round-robin"))
    edge.names.served["spare.test"] = (TWO, THREE)
    requests: list[Message] = []
    edge.pods |= {ONE: ConnectRefused("no"), TWO: noting(requests, answer(b"", "502 Bad")), THREE: noting(requests)}
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert [request.get("X-Splicer-Fallback-From") for request in requests] == ["app.test", "app.test"]


async def test_the_only_endpoint_is_tried_once_more_after_a_pause(edge: Edge) -> None:
    several(edge, ONE, retries=5)
    edge.pods[ONE] = ConnectRefused("no")
    assert (await read_answer(await edge.ask(GET))).status == 502
    assert tried(edge) == [(ONE, "connect_refused")] * 2
    assert 0.025 <= trio.current_time() <= 0.075


async def test_the_only_endpoint_s_second_answer_counts(edge: Edge) -> None:
    several(edge, ONE)
    edge.pods[ONE] = playing(answering(answer(b"", "503 Busy"), times=1), answering(OK))
    assert (await read_answer(await edge.ask(PUT))).status == 200
    edge.pods[ONE] = BUSY
    assert (await read_answer(await edge.ask(PUT))).body == b"busy"


async def test_a_pod_that_the_url_names_is_not_tried_again(edge: Edge) -> None:
    edge.use(route("regex", "^/(?<pod>x)$", upstream=NAMED, fallback=SPARE_UPSTREAM, retries=5))
    edge.names.served["x.pods.test"] = (ONE,)
    edge.pods |= {ONE: ConnectRefused("no"), SPARE: answering(OK)}
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert edge.dialled == [ONE, SPARE]
    assert trio.current_time() == 0


async def test_a_name_without_addresses_leads_straight_to_the_fallback(edge: Edge) -> None:
    several(edge, fallback=SPARE_UPSTREAM)
    edge.names.served["app.test"] = NameNotFound("gone")
    edge.pods[SPARE] = answering(OK)
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert edge.names.asked == ["app.test", "spare.test"]


async def test_what_is_drained_is_never_tried(edge: Edge) -> None:
    several(edge, ONE, TWO, THREE, retries=5)
    edge.context.drains = Drains(endpoints=frozenset({(TWO, 8000)}))
    edge.pods |= {ONE: BUSY, THREE: BUSY}
    assert (await read_answer(await edge.ask(GET))).status == 503
    assert sorted(edge.dialled) == [ONE, THREE]
    several(edge, TWO, retries=5)
    assert (await read_answer(await edge.ask(GET))).status == 503
    assert sorted(edge.dialled) == [ONE, THREE]


def gone(edge: Edge) -> None:
    edge.names.served["spare.test"] = NameNotFound("gone")


def silent_servers(edge: Edge) -> None:
    edge.names.served["spare.test"] = None


def drained(edge: Edge) -> None:
    edge.context.drains = Drains(endpoints=frozenset({(SPARE, 8000)}))


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("without", [gone, silent_servers, drained])
async def test_the_pod_s_own_answer_is_better_than_none(
    edge: Edge, without: Callable[[Edge], None], retries: int
) -> None:
    several(edge, ONE, TWO, retries=retries, fallback=SPARE_UPSTREAM)
    without(edge)
    edge.pods |= {ONE: BUSY, TWO: BUSY}
    told = await read_answer(await edge.ask(GET))
    assert (told.status, told.body) == (503, b"busy")
    assert len(edge.dialled) == len(edge.record.attempts) == 1 + retries


async def test_all_is_within_one_budget(edge: Edge) -> None:
    addresses = [f"10.0.1.{last}" for last in range(1, 9)]
    several(edge, *addresses, retries=5, deadlines={"handshake": 4, "attempts": 10})
    edge.pods |= dict.fromkeys(addresses, silent)
    assert (await read_answer(await edge.ask(GET))).status == 504
    assert trio.current_time() == pytest.approx(10)
    assert [attempt.failure for attempt in edge.record.attempts] == [*["handshake_deadline"] * 2, "attempts_deadline"]


async def test_a_client_that_leaves_in_the_pause_gets_nothing_sent(edge: Edge) -> None:
    several(edge, ONE)
    edge.pods[ONE] = ConnectRefused("no")
    client = await edge.ask(GET)
    await wait_all_tasks_blocked()
    client.end.close()
    [exchange] = edge.context.waiting
    exchange.give_up()
    await edge.idle()
    assert (edge.record.status, edge.record.close_reason) == (499, "client_gone")
    assert edge.dialled == [ONE]
    assert tried(edge) == [(ONE, "connect_refused")]


async def test_a_worker_that_stops_in_the_pause(edge: Edge) -> None:
    several(edge, ONE)
    edge.pods[ONE] = ConnectRefused("no")
    await edge.ask(GET)
    await wait_all_tasks_blocked()
    edge.stop()
    await edge.idle()
    assert tried(edge) == [(ONE, "connect_refused")]


async def test_a_dead_idle_connection_is_no_retry(edge: Edge) -> None:
    several(edge, ONE, TWO, retries=1)

    async def once(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(OK)
        await read_head(pod)
        pod.end.close()

    edge.pods |= {ONE: once, TWO: answering(OK)}
    edge.names.served["app.test"] = (ONE,)
    assert (await read_answer(await edge.ask(GET))).status == 200
    edge.told.ended.clear()
    edge.names.served["app.test"] = (ONE, TWO)
    edge.context.rules.endpoints._balancer._turns.clear()
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert tried(edge) == [(TWO, None)], "the idle connection and its successor are one attempt"
    assert edge.dialled == [ONE, TWO]


# ---- nothing is sent twice ----


class Heard:
    """What each connection to a pod brought, byte for byte, and whether it was the whole request."""

    def __init__(self) -> None:
        self.begun = self.served = 0
        self.whole: list[Message] = []

    def failing(self, how: str) -> Script:
        async def script(pod: Peer) -> None:
            await pod.exactly(1)
            self.begun += 1
            if how == "reset at the first byte":
                pod.end.reset()
                return
            await pod.until(b"\r\n\r\n")
            if how == "closed after the head":
                pod.end.close()
                return
            pod.read[:0] = pod.heard[: len(pod.heard) - len(pod.read)]
            self.whole.append(await read_request(pod))
            if how == "busy":
                await pod.send(answer(b"busy", "503 Busy"))
            elif how == "closed":
                pod.end.close()
            elif how == "half a head":
                await pod.send(OK[:20])
                pod.end.close()
            elif how == "served":
                self.served += 1
                await pod.send(OK)
            else:
                await trio.sleep_forever()

        return script


HOWS = ["reset at the first byte", "closed after the head", "busy", "closed", "half a head", "silent", "served"]
FAILURES = st.sampled_from([*HOWS, "refused", "no packet"])
BODIES = st.sampled_from([b"", b"body", b"b" * 70_000, b"b" * 300_000])


def request_of(method: str, body: bytes, chunked: bool) -> bytes:
    head = f"{method} /x HTTP/1.1\r\nHost: edge.test\r\n".encode()
    if chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(body)
    return head + (b"Content-Length: %d\r\n\r\n" % len(body) + body if body else b"\r\n")


@settings(max_examples=examples(200), deadline=None)
@given(
    method=st.sampled_from(["GET", "PUT", "DELETE", "POST", "PATCH"]),
    body=BODIES,
    chunked=st.booleans(),
    retries=st.integers(0, 5),
    first=st.lists(FAILURES, min_size=1, max_size=5),
    second=st.lists(FAILURES, max_size=5),
)
def test_nothing_is_sent_twice_but_what_may_be(
    method: str, body: bytes, chunked: bool, retries: int, first: list[str], second: list[str]
) -> None:
    heard = Heard()

    async def test(edge: Edge) -> None:
        for name, hows in (("app", first), ("spare", second)):
            addresses = tuple(f"10.0.{len(name)}.{last}" for last in range(1, len(hows) + 1))
            edge.names.served[f"{name}.test"] = addresses or NameNotFound("gone")
            for address, how in zip(addresses, hows, strict=True):
                known: dict[str, SplicerError | None] = {"refused": ConnectRefused("no"), "no packet": None}
                edge.pods[address] = known[how] if how in known else heard.failing(how)
        edge.use(route(retries=retries, fallback=SPARE_UPSTREAM, deadlines={"attempts": 120, "response": 500}))
        client = edge.connect()
        edge.nursery.start_soon(sending, client, request_of(method, body, chunked))
        told = await read_answer(client, method)
        assert told.status in {200, 502, 503, 504}
        attempts = edge.record.attempts
        assert [attempt.fallback for attempt in attempts] == sorted(attempt.fallback for attempt in attempts)
        assert len(attempts) <= 2 * (1 + retries)
        assert heard.served == (told.status == 200)
        client.end.close()

    in_virtual_time(test)
    if method in {"POST", "PATCH"}:
        assert heard.begun <= 1, "no second pod has seen a byte of it"
    if len(body) > 64 * 1024:
        assert len(heard.whole) <= 1, "it is not kept"
    for message in heard.whole:
        assert (message.line, message.body) == (f"{method} /x HTTP/1.1", body)


async def sending(client: Peer, raw: bytes) -> None:
    try:
        await client.send(raw)
    except trio.BrokenResourceError:
        return


def in_virtual_time(test: Callable[[Edge], Awaitable[None]]) -> None:
    async def main() -> None:
        async with open_edge() as edge:
            await test(edge)

    trio.run(main, clock=MockClock(autojump_threshold=0))
