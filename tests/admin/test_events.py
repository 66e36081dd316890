"""The stream of the dashboard: what comes, for whom it is computed, and who is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio

from splicer.admin.dispatch import Request
from splicer.admin.events import _chosen, _wish
from splicer.ipc.queries import AskTunnels, PlaceRow
from tests.admin.rig import FakeWorker, Rig, endpoint, places, rig, tunnel
from tests.kit.wire import Wire, dial, request, until


@asynccontextmanager
async def looking(admin: Rig, query: str = "") -> AsyncIterator[Wire]:
    async with dial(admin.address) as wire:
        await wire.send(request("GET", f"/events{query}", host="localhost"))
        head = await wire.head()
        assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        assert b"Cache-Control: no-store" in head
        assert await wire.until(b"\n\n") == b"retry: 2000\n\n"
        yield wire


async def event(wire: Wire, kind: str) -> dict[str, Any]:
    """The next event of this kind."""
    while True:
        lines = (await wire.until(b"\n\n")).decode().splitlines()
        assert lines[0].startswith("event: ")
        assert lines[1].startswith("data: ")
        if lines[0] == f"event: {kind}":
            found: dict[str, Any] = json.loads(lines[1].removeprefix("data: "))
            return found


def asked(worker: FakeWorker) -> int:
    return sum(isinstance(question, AskTunnels) for question in worker.heard)


async def test_the_state_and_the_calls_come_again_and_again() -> None:
    async with rig() as admin:
        known = [endpoint("pod-1", "127.0.0.11"), endpoint("pod-2", "127.0.0.12", "down")]
        worker = admin.worker(1, tunnels=[tunnel("a", bytes_to_pod=1000)], endpoints=known)
        async with looking(admin) as wire:
            calls = await event(wire, "tunnels")
            assert (calls["total"], calls["found"], calls["tunnels"][0]["id"], calls["tunnels"][0]["rate"]) == (
                1,
                1,
                "a",
                0,
            )
            state = await event(wire, "state")
            [route] = [route for route in state["routes"] if route["name"] == "call"]
            assert (route["live"], route["upstreams"], route["fallback"], route["fallback_live"]) == (
                1,
                [{"name": "pod", "weight": 1, "live": 1}],
                "any-pod",
                0,
            )
            [pods] = [upstream["pods"] for upstream in state["upstreams"] if upstream["name"] == "pod"]
            assert [(pod["name"], pod["state"], pod["live"]) for pod in pods] == [
                ("pod-1", "up", 1),
                ("pod-2", "down", 0),
            ]
            assert state["listeners"] == [
                {"address": "0.0.0.0:8080", "tls": None, "proxy_protocol": False, "passthrough": False}]  # fmt: skip
            worker.rows["tunnels"] = [tunnel("a", rate=41.6), tunnel("b")]
            calls = await event(wire, "tunnels")
            assert (calls["total"], [call["rate"] for call in calls["tunnels"]]) == (2, [42, 0])


ROWS = [
    tunnel("old", age_s=9.0, idle_s=1.0),
    tunnel("slow", age_s=3.0, client_rtt_ms=900.0, pod="pod-2", address="127.0.0.12"),
    tunnel("lossy", age_s=2.0, pod_retransmits=7, route="other"),
    tunnel("still", age_s=1.0, idle_s=50.0, client_rtt_ms=None, pod_rtt_ms=None),
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["old", "slow", "lossy", "still"]),
        ({"sort": ["idle"]}, ["still", "old", "slow", "lossy"]),
        ({"sort": ["rate"]}, ["still", "lossy", "slow", "old"]),
        ({"sort": ["rtt"]}, ["slow", "old", "lossy", "still"]),
        ({"sort": ["retransmits"]}, ["lossy", "old", "slow", "still"]),
        ({"tunnels": ["2"]}, ["old", "slow"]),
        ({"route": ["other"]}, ["lossy"]),
        ({"pod": ["pod-2"]}, ["slow"]),
        ({"pod": ["127.0.0.12"]}, ["slow"]),
        ({"pod": ["nobody"]}, []),
    ],
)
def test_what_a_looker_wants_to_see(query: dict[str, list[str]], expected: list[str]) -> None:
    rows = [replace(row, rate=float(rate)) for rate, row in enumerate(ROWS)]
    found = _chosen(rows, places(rows), _wish(Request(query)))
    assert [call["id"] for call in found["tunnels"]] == expected
    assert (found["total"], found["found"]) == (4, len(expected) if "tunnels" not in query else 4)


async def test_workers_are_asked_for_what_is_wanted_alone() -> None:
    async with rig() as admin:
        worker = admin.worker(
            1, tunnels=[tunnel("a")], places=[PlaceRow("call", "pod-1", "pod", "127.0.0.11:8000", 700)]
        )
        async with looking(admin, "?tunnels=50&sort=rtt&route=call&pod=pod-1") as wire:
            calls = await event(wire, "tunnels")
        assert (calls["total"], calls["found"], len(calls["tunnels"])) == (700, 700, 1)
        [asked] = [question for question in worker.heard if isinstance(question, AskTunnels)]
        assert (asked.most, asked.sort, asked.route, asked.pod) == (50, "rtt", "call", "pod-1")


async def test_of_several_workers_the_first_ones_are_shown() -> None:
    async with rig(wanted=2) as admin:
        admin.worker(1, tunnels=[tunnel("a", age_s=9.0), tunnel("b", age_s=3.0)])
        admin.worker(2, tunnels=[tunnel("c", age_s=5.0), tunnel("d", age_s=1.0)])
        async with looking(admin, "?tunnels=2") as wire:
            calls = await event(wire, "tunnels")
        assert ([call["id"] for call in calls["tunnels"]], calls["found"]) == (["a", "c"], 4)


@pytest.mark.slow
async def test_all_lookers_have_one_computation_and_nobody_none() -> None:
    async with rig() as admin:
        worker = admin.worker(1, tunnels=[tunnel("a")])
        await trio.sleep(1.5)
        assert worker.heard == []
        async with looking(admin) as one, looking(admin, "?sort=rate") as other:
            for wire in (one, other):
                await event(wire, "tunnels")
            before = asked(worker)
            for wire in (one, other):
                await event(wire, "tunnels")
            assert asked(worker) - before <= 2
        await until(lambda: not admin.events.streams)
        told = asked(worker)
        await trio.sleep(2.5)
        assert asked(worker) - told <= 1


async def test_a_worker_that_does_not_answer_is_named() -> None:
    async with rig(wanted=2) as admin:
        admin.worker(1, tunnels=[tunnel("a")])
        admin.worker(2).mute = True
        async with looking(admin) as wire:
            assert (await event(wire, "state"))["missing_workers"] == [2]


@pytest.mark.slow
async def test_too_many_are_refused_until_one_leaves() -> None:
    async with rig() as admin:
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(_look, admin)
            await until(lambda: admin.events.streams == 8)
            status, body = await admin.ask("GET", "/events")
            assert (status, body) == (503, {"error": "8 streams are open: close another page"})
            nursery.cancel_scope.cancel()
        await until(lambda: admin.events.streams == 0)
        async with looking(admin) as wire:
            await event(wire, "state")


async def _look(admin: Rig) -> None:
    async with looking(admin) as wire:
        while True:
            await event(wire, "state")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("tunnels=0", "tunnels must be a number from 1 to 1000, not '0'"),
        ("tunnels=1001", "tunnels must be a number from 1 to 1000, not '1001'"),
        ("tunnels=99999999999999999999", "tunnels must be a number from 1 to 1000, not '99999999999999999999'"),
        ("tunnels=%D9%A3", "tunnels must be a number from 1 to 1000, not '٣'"),
        ("sort=name", "sort must be one of age, idle, rate, rtt, retransmits, not 'name'"),
        ("sort=age&sort=age", "sort is there 2 times"),
        ("speed=1", "unknown parameter 'speed'; known are: pod, route, sort, tunnels"),
    ],
)
async def test_bad_parameters(query: str, error: str) -> None:
    async with rig() as admin:
        assert await admin.ask("GET", f"/events?{query}") == (400, {"error": error})


async def test_what_a_client_chose_is_text_in_json() -> None:
    evil = '<img src=x onerror="alert(1)">\n\nevent: state\ndata: {}'
    async with rig() as admin:
        admin.worker(1, tunnels=[tunnel("a", path=evil, client=evil)])
        async with looking(admin) as wire:
            calls = await event(wire, "tunnels")
            assert calls["tunnels"][0]["path"] == evil


async def test_a_bug_in_a_tick_ends_nothing() -> None:
    async with rig() as admin:
        worker = admin.worker(1, tunnels=[tunnel("a")])
        failed: list[Exception] = []
        admin.events._failed = failed.append
        async with looking(admin) as wire:
            await event(wire, "state")
            admin.events._picture = None  # type: ignore[assignment]  # the bug
            await until(lambda: failed)
            worker.rows["tunnels"] = [tunnel("b")]
            assert (await event(wire, "tunnels"))["total"] == 1


async def test_what_an_operator_does_is_logged() -> None:
    async with rig() as admin:
        admin.worker(1, tunnels=[tunnel("a")])
        admin.nursery.start_soon(admin.confirm_drains)
        assert (await admin.ask("DELETE", "/tunnels/a"))[0] == 200
        assert (await admin.ask("DELETE", "/tunnels/a"))[0] == 404
        assert (await admin.ask("POST", "/drain", {"route": "call"}))[0] == 200
        assert (await admin.ask("DELETE", "/drain", {"route": "call"}))[0] == 200
        assert (await admin.ask("POST", "/drain"))[0] == 200
        lines = [line for line in admin.logged() if line["event"] == "operator"]
    assert [(line["action"], line["what"], line["client"]) for line in lines] == [
        ("close", "a", "127.0.0.1"),
        ("drain", "route call", "127.0.0.1"),
        ("undrain", "route call", "127.0.0.1"),
        ("drain", "all", "127.0.0.1"),
    ]
