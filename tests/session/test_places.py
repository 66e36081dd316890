"""Places on routes with `max_tunnels`: who gets one, and when it is free again."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from splicer.errors import ConnectRefused, Side
from splicer.relay.api import TunnelEnd
from splicer.session.places import TunnelPlaces
from tests.session.edge import APP, Edge, Spliced, answering, relay, route
from tests.session.message import SWITCHING, UPGRADE, answer, read_answer

LIMITED = route("prefix", "/ws", name="calls", upgrade=("websocket",), max_tunnels=2)


# ---- the counts ----


def test_a_place_is_free_again_when_its_tunnel_is_over() -> None:
    places = TunnelPlaces()
    assert [places.take("calls", 2) for _ in range(3)] == [True, True, False]
    places.opened("calls")
    places.give_back("calls")
    assert not places.take("calls", 2)
    places.over("calls")
    assert places.take("calls", 2)
    assert places.take("other", 1)


def test_tunnels_of_a_route_that_gets_its_limit_later_count() -> None:
    places = TunnelPlaces()
    places.opened("calls")
    assert places.limited([LIMITED, route(name="free")]) == {"calls": 1}
    assert places.take("calls", 2)
    assert not places.take("calls", 2)


def test_a_lower_limit_lets_nobody_in_until_it_is_reached() -> None:
    places = TunnelPlaces()
    for _ in range(3):
        places.opened("calls")
    assert not places.take("calls", 2)
    places.over("calls")
    assert not places.take("calls", 2)
    places.over("calls")
    assert places.take("calls", 2)


def test_what_was_left_to_another_worker_is_counted_no_more() -> None:
    told: dict[str, int] = {}
    places = TunnelPlaces(told.__setitem__)
    places.opened("calls")
    places.opened("calls")
    assert places.take("calls", 3)
    places.leave_all()
    assert told == {"calls": 1}
    places.over("calls")
    assert told == {"calls": 1}
    places.give_back("calls")
    assert told == {"calls": 0}


steps = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["take", "open", "fail", "end"])), max_size=40)


@given(steps, st.integers(1, 4))
def test_never_more_than_the_limit_over_all_workers(steps: list[tuple[int, str]], limit: int) -> None:
    board: list[Counter[str]] = [Counter() for _ in range(3)]

    def elsewhere(worker: int, name: str) -> int:
        return sum(row[name] for other, row in enumerate(board) if other != worker)

    workers = [
        TunnelPlaces(board[number].__setitem__, lambda name, number=number: elsewhere(number, name))  # type: ignore[misc]  # mypy can't infer a lambda with a default
        for number in range(3)
    ]
    asking, live = Counter[int](), Counter[int]()
    for worker, step in steps:
        places = workers[worker]
        match step:
            case "take":
                full = asking.total() + live.total() >= limit
                assert places.take("calls", limit) is not full
                asking[worker] += not full
            case "open" if asking[worker]:
                places.opened("calls")
                places.give_back("calls")
                asking[worker] -= 1
                live[worker] += 1
            case "fail" if asking[worker]:
                places.give_back("calls")
                asking[worker] -= 1
            case "end" if live[worker]:
                places.over("calls")
                live[worker] -= 1
        assert sum(row["calls"] for row in board) == asking.total() + live.total() <= limit


def test_two_workers_that_ask_at_the_same_time_never_both_get_the_last_place() -> None:
    board = [Counter[str](), Counter[str]()]
    second = TunnelPlaces(board[1].__setitem__, lambda name: board[0][name])
    results = []

    def meanwhile(name: str) -> int:
        results.append(second.take(name, 1))
        return board[1][name]

    first = TunnelPlaces(board[0].__setitem__, meanwhile)
    results.append(first.take("calls", 1))
    assert sum(results) <= 1


# ---- in a session ----


async def test_a_call_too_many_gets_503(edge: Edge) -> None:
    edge.use(LIMITED)
    edge.pods[APP] = answering(SWITCHING)
    calls = [await edge.ask(UPGRADE) for _ in range(2)]
    for call in calls:
        assert (await read_answer(call)).status == 101
    refused = await read_answer(await edge.ask(UPGRADE))
    assert (refused.status, refused.get("Retry-After"), refused.get("Connection")) == (503, "1", "close")
    assert (edge.record.close_reason, edge.record.status, edge.record.closer) == ("route_full", 503, Side.PROXY)
    assert edge.dialled == [APP, APP], "no pod is asked"
    calls[0].end.close()
    await wait_all_tasks_blocked()
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101


async def test_plain_requests_need_no_place(edge: Edge) -> None:
    edge.use(route(name="calls", upgrade=("websocket",), max_tunnels=1))
    edge.pods[APP] = answering(SWITCHING)
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101
    edge.pods[APP] = answering(answer())
    assert (await read_answer(await edge.ask(UPGRADE.replace(b"Upgrade: websocket\r\n", b"")))).status == 200


@pytest.mark.parametrize("refusal", [ConnectRefused("app"), answering(answer(b"no", "403 Forbidden"))])
async def test_a_handshake_that_opens_no_tunnel_gives_its_place_back(edge: Edge, refusal: object) -> None:
    edge.use(route(name="calls", upgrade=("websocket",), max_tunnels=1))
    for _ in range(3):
        edge.pods[APP] = refusal  # type: ignore[assignment]  # each of the two is what a pod may be
        assert (await read_answer(await edge.ask(UPGRADE))).status in {403, 502}
    edge.pods[APP] = answering(SWITCHING)
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101


async def test_a_tunnel_without_a_pipe_gives_its_place_back(edge: Edge) -> None:
    edge.use(route(name="calls", upgrade=("websocket",), max_tunnels=1))
    edge.pods[APP] = answering(SWITCHING)
    edge.starved = OSError(24, "too many")
    for _ in range(2):
        assert (await read_answer(await edge.ask(UPGRADE))).status == 503
    assert [record.close_reason for record in edge.told.ended] == ["no_descriptor", "no_descriptor"]


async def test_a_handshake_under_way_holds_a_place(edge: Edge) -> None:
    edge.use(route(name="calls", upgrade=("websocket",), max_tunnels=1))
    edge.pods[APP] = None
    waiting = await edge.ask(UPGRADE)
    await wait_all_tasks_blocked()
    assert (await read_answer(await edge.ask(UPGRADE))).status == 503
    waiting.end.reset()


async def test_a_crash_gives_the_place_back(edge: Edge) -> None:
    async def broken(spec: Spliced) -> TunnelEnd:
        raise ZeroDivisionError

    edge.use(route(name="calls", upgrade=("websocket",), max_tunnels=1))
    edge.pods[APP] = answering(SWITCHING)
    edge.expect_crash = True
    edge.on_splice = broken
    await edge.ask(UPGRADE)
    await edge.idle()
    edge.on_splice = relay
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101
