"""`max_tunnels` and `max_requests` of an upstream: who gets to which endpoint, and who to none."""

from __future__ import annotations

from collections import Counter

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import ConnectRefused, Side
from splicer.upstream.balance import Balancer
from splicer.upstream.loads import Alone
from tests.kit.http import Message
from tests.session.edge import APP, SPARE, Edge, Script, answering, route, upstream
from tests.session.message import GET, OK, SWITCHING, UPGRADE, answer, read_answer
from tests.session.wire import Peer

THIRD = "10.0.0.3"
PODS = (APP, SPARE, THIRD)
ANY = upstream("any", max_tunnels=2, max_requests=1)
NAMED = upstream("pod", "{pod}.pods.test", max_tunnels=1)


def site(edge: Edge, script: Script | None = None) -> None:
    """Three pods behind one name, and two of them by their own names."""
    edge.names.served |= {"any.test": PODS, "one.pods.test": (APP,), "two.pods.test": (SPARE,)}
    edge.pods |= dict.fromkeys(PODS, script or answering(SWITCHING))


async def ask(edge: Edge, raw: bytes = UPGRADE) -> tuple[Peer, Message]:
    client = await edge.ask(raw)
    return client, await read_answer(client)


async def until_full(edge: Edge, count: int) -> list[Peer]:
    """So many calls, all of which are let in."""
    calls = [await ask(edge) for _ in range(count)]
    assert [got.status for _, got in calls] == [101] * count
    return [client for client, _ in calls]


@pytest.mark.parametrize("policy", ["least-tunnels", "round-robin", "random"])
async def test_each_endpoint_gets_so_many_and_the_next_call_gets_503(edge: Edge, policy: str) -> None:
    site(edge)
    edge.use(route(upgrade=("websocket",), upstream=upstream("any", max_tunnels=2, balance=policy)))
    calls = await until_full(edge, 6)
    assert Counter(edge.dialled) == dict.fromkeys(PODS, 2)
    _, refused = await ask(edge)
    assert (refused.status, refused.get("Retry-After")) == (503, "1")
    assert len(edge.dialled) == 6, "nobody is dialled"
    record = edge.record
    assert (record.close_reason, record.closer) == ("endpoint_full", Side.PROXY)
    assert record.detail == "each of 3 endpoints has 2 tunnels, the max_tunnels of upstream any"
    assert [(each.failure, each.endpoint) for each in record.attempts] == [("endpoint_full", None)]
    calls[3].end.close()
    await wait_all_tasks_blocked()
    await until_full(edge, 1)
    assert Counter(edge.dialled)[edge.dialled[3]] == 3, "there was the place"


async def test_a_named_pod_that_is_full_leads_to_the_fallback(edge: Edge) -> None:
    site(edge)
    edge.use(route("regex", r"^/(?<pod>[^/]+)", upgrade=("websocket",), upstream=NAMED, fallback=ANY))
    to_one = UPGRADE.replace(b"/ws", b"/one")
    first, second = await ask(edge, to_one), await ask(edge, to_one)
    assert (first[1].status, second[1].status) == (101, 101)
    assert edge.dialled[1] != APP
    assert [(each.failure, each.endpoint, each.pod) for each in edge.told.opened[1].attempts] == [
        ("endpoint_full", f"{APP}:8000", "one"),
        (None, f"{edge.dialled[1]}:8000", "any.test"),
    ]
    assert edge.told.opened[1].parts.connect == 0


async def test_calls_by_all_names_count_together(edge: Edge) -> None:
    site(edge)
    to_one = UPGRADE.replace(b"/ws", b"/one")
    edge.use(
        route("regex", r"^/(?<pod>one|two)", upgrade=("websocket",), upstream=NAMED),
        route(name="any", upgrade=("websocket",), upstream=upstream("any", max_tunnels=1)),
    )
    assert (await ask(edge, to_one))[1].status == 101
    await until_full(edge, 2)
    assert sorted(edge.dialled) == sorted(PODS)
    assert [(await ask(edge, raw))[1].status for raw in (UPGRADE, to_one)] == [503, 503]


async def test_a_pod_full_of_calls_gets_the_requests_of_these_calls(edge: Edge) -> None:
    site(edge)
    edge.use(route(upgrade=("websocket",), upstream=ANY))
    await until_full(edge, 6)
    edge.pods |= dict.fromkeys(PODS, answering(OK))
    assert [(await ask(edge, GET))[1].status for _ in range(4)] == [200] * 4


async def test_requests_under_way_are_limited_and_calls_are_not(edge: Edge) -> None:
    site(edge, answering(OK))

    async def silent(pod: Peer) -> None:
        await trio.sleep_forever()

    edge.pods |= dict.fromkeys(PODS, silent)
    edge.use(route(upgrade=("websocket",), upstream=ANY, fallback_on=frozenset()))
    waiting = [await edge.ask(GET) for _ in PODS]
    await wait_all_tasks_blocked()
    _, refused = await ask(edge, GET)
    assert (refused.status, edge.record.close_reason) == (503, "endpoint_full")
    assert edge.record.detail == "each of 3 endpoints has 1 requests, the max_requests of upstream any"
    edge.pods |= dict.fromkeys(PODS, answering(SWITCHING))
    await until_full(edge, 6)
    for client in waiting:
        client.end.close()


async def test_an_idle_connection_is_no_way_around_the_limit(edge: Edge) -> None:
    site(edge, answering(OK))
    edge.use(route(upstream=upstream("one", "one.pods.test", max_requests=1)))
    assert [(await ask(edge, GET))[1].status for _ in range(2)] == [200, 200]
    assert edge.dialled == [APP]
    edge.pods[APP] = None
    busy = await edge.ask(GET.replace(b"GET", b"POST"))
    await wait_all_tasks_blocked()
    assert (await ask(edge, GET))[1].status == 503
    busy.end.reset()


async def test_retries_go_to_those_that_have_room(edge: Edge) -> None:
    site(edge)
    edge.use(route(upgrade=("websocket",), upstream=upstream("any", max_tunnels=1), retries=2))
    await until_full(edge, 1)
    edge.pods |= dict.fromkeys(PODS, ConnectRefused("no"))
    assert (await ask(edge))[1].status == 503
    assert [each.failure for each in edge.record.attempts] == ["connect_refused", "endpoint_full"]
    assert sorted(edge.dialled[1:]) == sorted(set(PODS) - {edge.dialled[0]}), "the full one is not tried"
    before = len(edge.dialled)
    edge.pods |= dict.fromkeys(PODS, answering(SWITCHING))
    await until_full(edge, 2)
    assert len(edge.dialled) == before + 2
    assert (await ask(edge))[1].status == 503
    assert [each.failure for each in edge.told.ended[-1].attempts] == ["endpoint_full"], "no retry could help"


async def test_a_full_fallback_is_none(edge: Edge) -> None:
    """The client gets the pod's own answer rather than one that says less."""
    site(edge)
    edge.use(
        route("path", "/fill", upgrade=("websocket",), upstream=upstream("any", max_tunnels=1)),
        route(upgrade=("websocket",), fallback=upstream("any", max_tunnels=1)),
    )
    edge.names.served["app.test"] = ("10.0.0.9",)
    edge.pods["10.0.0.9"] = answering(answer(b"not I", "503 Service Unavailable"))
    fill = UPGRADE.replace(b"/ws", b"/fill")
    for _ in PODS:
        assert (await ask(edge, fill))[1].status == 101
    _, got = await ask(edge)
    assert (got.status, got.body) == (503, b"not I")


async def test_an_upstream_is_no_fallback_for_itself_when_it_is_full(edge: Edge) -> None:
    site(edge)
    edge.use(route(upgrade=("websocket",), upstream=ANY, fallback=ANY))
    await until_full(edge, 6)
    assert (await ask(edge))[1].status == 503
    assert len(edge.record.attempts) == 1


async def test_a_lower_limit_cuts_nobody(edge: Edge) -> None:
    site(edge)
    edge.use(route(upgrade=("websocket",), upstream=ANY))
    calls = await until_full(edge, 6)
    edge.use(route(upgrade=("websocket",), upstream=upstream("any", max_tunnels=1)))
    assert (await ask(edge))[1].status == 503
    for call in calls:
        await call.send(b"still here")
    await wait_all_tasks_blocked()
    assert not edge.told.closed


@pytest.mark.parametrize("refusal", [ConnectRefused("no"), answering(answer(b"no", "403 Forbidden"))])
async def test_a_handshake_that_opens_no_tunnel_gives_its_place_back(edge: Edge, refusal: object) -> None:
    site(edge)
    edge.use(route(upgrade=("websocket",), upstream=upstream("one", "one.pods.test", max_tunnels=1)))
    for _ in range(3):
        edge.pods[APP] = refusal  # type: ignore[assignment]  # each of the two is what a pod may be
        assert (await ask(edge))[1].status in {403, 502}
    edge.pods[APP] = answering(SWITCHING)
    await until_full(edge, 1)


async def test_a_handshake_under_way_holds_a_place(edge: Edge) -> None:
    site(edge)
    edge.use(route(upgrade=("websocket",), upstream=upstream("one", "one.pods.test", max_tunnels=1)))
    edge.pods[APP] = None
    waiting = await edge.ask(UPGRADE)
    await wait_all_tasks_blocked()
    assert (await ask(edge))[1].status == 503
    waiting.end.reset()


@pytest.mark.parametrize(("collisions", "status"), [(1, 101), (4, 101), (5, 503), (99, 503)])
async def test_who_meets_another_worker_at_the_last_place_tries_again(edge: Edge, collisions: int, status: int) -> None:
    """Both have given it back, and one of them is to have it."""

    class Contested(Alone):
        left = collisions

        def others(self, key: int) -> tuple[int, int]:
            mine = edge.context.balancer.live(edge_endpoint)
            if mine and self.left:
                self.left -= 1
                return 1, 0
            return 0, 0

    site(edge)
    served = upstream("one", "one.pods.test", max_tunnels=1)
    edge.context.balancer = Balancer(shared=Contested())
    edge.use(route(upgrade=("websocket",), upstream=served))
    [edge_endpoint] = (await edge.context.rules.endpoints.choose(served, "one.pods.test")).endpoints
    assert (await ask(edge))[1].status == status
    assert len(edge.dialled) == (status == 101)
    assert trio.current_time() < 0.1
