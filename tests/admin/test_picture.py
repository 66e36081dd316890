"""The state of the edge as the dashboard draws it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import trio
from trio.testing import MockClock

from splicer.admin.picture import Picture
from splicer.admin.tallies import Tally
from splicer.admin.tls_state import TlsState
from splicer.admin.workers import Answers
from splicer.ipc.facts import OperatorDrains, Reloads
from splicer.ipc.queries import PlaceRow, Question
from tests.admin.rig import CONFIG, FakeWorker, Rig, endpoint, rig

_NOWHERE: Answers[PlaceRow] = Answers([], [])


class Counts:
    """What all processes have counted, in place of their files."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.opened = 0
        self.failed = 0
        self.forgotten = 0

    def __call__(self) -> Iterator[Tally]:
        for status, count in (("2xx", self.requests), ("5xx", self.errors)):
            yield Tally("splicer_requests_total", {"route": "call", "method": "GET", "status": status}, count)
        yield Tally("splicer_request_duration_seconds_bucket", {"route": "call", "le": "0.1"}, self.requests)
        yield Tally("splicer_tunnels_total", {"route": "call", "pod": "pod-1"}, self.opened)
        failed = {"route": "call", "upstream": "pod", "outcome": "connect_refused"}
        yield Tally("splicer_attempts_total", failed, self.failed)

    def forget(self) -> None:
        self.forgotten += 1


def drawn(admin: Rig, counts: Counts | None = None) -> Picture:
    tls = TlsState(admin.board, admin.facts)
    tallies: Any = counts or Counts()
    return Picture(admin.board, admin.facts, admin.workers, admin.current, admin.drains, tls, tallies)


def of(parts: list[dict[str, Any]], name: str, key: str = "name") -> dict[str, Any]:
    [found] = [part for part in parts if part[key] == name]
    return found


async def test_before_there_is_a_configuration_the_edge_has_facts_and_no_parts() -> None:
    async with rig(None) as admin:
        reloads = Reloads(ok=1, failed=1, last_ok=False, last_at=1_700_000_000.0, faults=("line 3: no",))
        admin.learn(generation=4, restarts=2, reloads=reloads)
        state = await drawn(admin).state(Answers([], [2]))
    assert state["reload"] == {"ok": False, "at": "2023-11-14T22:13:20Z", "faults": ["line 3: no"]}
    assert (state["generation"], state["restarts"], state["missing_workers"]) == (4, 2, [2])
    assert state["routes"] == state["upstreams"] == state["listeners"] == []


async def test_calls_are_drawn_where_they_go() -> None:
    places = [
        PlaceRow("call", "pod-1", "pod", "127.0.0.11:8000", 3),
        PlaceRow("call", "pod-1", "pod", "127.0.0.11:8000", 1),  # another worker's
        PlaceRow("call", "pods.test", "any-pod", "127.0.0.11:8000", 5),
    ]
    async with rig() as admin:
        ways = [endpoint("pod-1", "127.0.0.11", tunnels=9), endpoint("pods.test", "127.0.0.11", upstream="any-pod")]
        admin.worker(1, endpoints=ways)
        state = await drawn(admin).state(Answers(places, []))
    call = of(state["routes"], "call")
    assert (call["live"], call["upstreams"]) == (9, [{"name": "pod", "weight": 1, "live": 4}])
    assert (call["fallback"], call["fallback_live"]) == ("any-pod", 5)
    health = of(state["routes"], "health")
    assert (health["answers"], health["live"], health["upstreams"], health["fallback"]) == (True, 0, [], None)
    live = {up["name"]: [(pod["endpoint"], pod["live"]) for pod in up["pods"]] for up in state["upstreams"]}
    assert live == {"pod": [("127.0.0.11:8000", 4)], "any-pod": [("127.0.0.11:8000", 5)]}


async def test_each_version_of_a_split_has_its_calls() -> None:
    split = CONFIG.replace('upstream = "pod"\n', "upstream = { pod = 90, any-pod = 10 }\n")
    split = split.replace('fallback = "any-pod"', "")
    places = [
        PlaceRow("call", f"pod-{n}", name, f"127.0.0.1{n}:8000", n) for name in ("pod", "any-pod") for n in (1, 2)
    ]
    async with rig(split) as admin:
        call = of((await drawn(admin).state(Answers(places, [])))["routes"], "call")
    assert call["upstreams"] == [{"name": "pod", "weight": 90, "live": 3}, {"name": "any-pod", "weight": 10, "live": 3}]
    assert (call["live"], call["fallback"]) == (6, None)


async def test_what_is_drained_is_marked() -> None:
    async with rig() as admin:
        admin.worker(1, endpoints=[endpoint("pod-1", "127.0.0.11"), endpoint("call", "127.0.0.12")])
        admin.learn(drains=OperatorDrains(pods={"pod-1": 1.0}, routes={"call": 1.0}))
        state = await drawn(admin).state(_NOWHERE)
    assert {route["name"]: route["drained"] for route in state["routes"]} == {"health": False, "call": True}
    pods = of(state["upstreams"], "pod")["pods"]
    assert {pod["name"]: pod["drained"] for pod in pods} == {"pod-1": True, "call": False}, "a route's name is no pod's"
    assert [(drain["scope"], drain["name"]) for drain in state["drains"]] == [("pod", "pod-1"), ("route", "call")]


async def test_a_listener_says_how_it_is_spoken_to() -> None:
    plain = '[server]\nlisten = ["127.0.0.1:1", { address = "127.0.0.1:2", proxy_protocol = ["10.0.0.0/8"] }]\n'
    async with rig(plain + CONFIG) as admin:
        state = await drawn(admin).state(_NOWHERE)
    assert state["listeners"] == [
        {"address": "127.0.0.1:1", "tls": None, "proxy_protocol": False, "passthrough": False},
        {"address": "127.0.0.1:2", "tls": None, "proxy_protocol": True, "passthrough": False},
    ]


# A page that draws ten thousand pods shows nothing.
async def test_of_very_many_pods_the_rest_is_a_number() -> None:
    rows = [endpoint(f"pod-{n}", f"127.0.{n // 200}.{n % 200}") for n in range(1003)]

    def answer(worker: FakeWorker, question: Question[Any]) -> None:
        for begin in range(0, len(rows), 100):
            worker.send(question, rows[begin : begin + 100], more=True)
        worker.send(question, [], more=False)

    async with rig() as admin:
        admin.worker(1, answer)
        pod = of((await drawn(admin).state(_NOWHERE))["upstreams"], "pod")
    assert (len(pod["pods"]), pod["more"]) == (1000, 3)


async def test_rates_are_those_between_two_looks(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0.05
    counts = Counts()
    async with rig() as admin:
        admin.worker(1, endpoints=[endpoint("pod-1", "127.0.0.11")])
        picture = drawn(admin, counts)
        first = of((await picture.state(_NOWHERE))["routes"], "call")
        assert (first["rate"], first["errors"], first["p50_ms"], first["p99_ms"]) == (0.0, 0.0, None, None)
        counts.requests, counts.errors, counts.opened, counts.failed = 16, 4, 8, 6
        await trio.sleep(4)
        state = await picture.state(_NOWHERE)
        call = of(state["routes"], "call")
        assert (call["rate"], call["errors"]) == (5.0, 1.0)
        assert (call["p50_ms"], call["p99_ms"]) == (50.0, 99.0)
        pod = of(state["upstreams"], "pod")
        assert (pod["failures"], pod["pods"][0]["calls"]) == (1.5, 2.0)
        picture.forget()
        again = of((await picture.state(_NOWHERE))["routes"], "call")
        assert (again["rate"], again["p50_ms"], counts.forgotten) == (0.0, None, 1)
