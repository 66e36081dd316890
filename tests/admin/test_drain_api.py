from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.ipc import wire
from splicer.ipc.board import Column
from splicer.ipc.codec import to_json
from splicer.ipc.facts import OperatorDrains
from splicer.ipc.messages import AdminReport, WantDrains
from tests.admin.rig import CONFIG, Rig, counts, endpoint, rig, tunnel

_AUTOJUMP_THRESHOLD = 0.05  # real seconds in which nothing happens, after which the clock jumps
EVERY = OperatorDrains(1.0, {"pod-1": 1.0}, {"call": 1.0})
NOTHING = OperatorDrains()


@asynccontextmanager
async def _obedient() -> AsyncIterator[Rig]:
    """A rig whose supervisor does as it is told."""
    async with rig() as admin:
        admin.nursery.start_soon(admin.confirm_drains)
        yield admin


def _named(body: Any) -> list[tuple[str, str, int | None]]:
    return [(entry["scope"], entry["name"], entry["remaining"]) for entry in body["drains"]]


async def test_nothing_is_drained() -> None:
    async with rig() as admin:
        assert await admin.ask("GET", "/drain") == (200, {"drains": []})


async def test_all_is_drained_and_lifted() -> None:
    async with _obedient() as admin:
        admin.board.row(3)[Column.TUNNELS] = 4
        before = time.time()
        nothing: tuple[Any, ...] = (None, {})
        for body in nothing:
            status, answer = await admin.ask("POST", "/drain", body)
            assert (status, _named(answer)) == (200, [("all", "", 4)])
            since = datetime.fromisoformat(answer["drains"][0]["since"]).timestamp()
            assert before - 0.001 <= since <= time.time() + 0.001
            assert (await admin.ask("GET", "/status"))[1]["draining"] is True
            assert await admin.ask("DELETE", "/drain", body) == (200, {"drains": []})
            assert (await admin.ask("GET", "/status"))[1]["draining"] is False
        assert [drains.all is None for drains in admin.drains_told] == [False, True] * 2


async def test_a_drain_that_is_there_already_stays_as_it_is() -> None:
    async with _obedient() as admin:
        for body in ({}, {"route": "call"}, {"pod": "pod-1"}):
            first = await admin.ask("POST", "/drain", body)
            assert await admin.ask("POST", "/drain", body) == first
        assert len(admin.drains_told) == 3


async def test_drains_add_up() -> None:
    async with _obedient() as admin:
        for body in ({"pod": "pod-1"}, {"route": "call"}, {}, {"pod": "pod-2"}):
            await admin.ask("POST", "/drain", body)
        _, answer = await admin.ask("GET", "/drain")
        every = [("all", "", 0), ("pod", "pod-1", 0), ("pod", "pod-2", 0), ("route", "call", 0)]
        assert _named(answer) == every
        assert (await admin.ask("GET", "/status"))[1]["drains"] == answer["drains"]
        _, answer = await admin.ask("DELETE", "/drain", {"pod": "pod-1"})
        assert _named(answer) == [every[0], *every[2:]]


async def test_what_remains_on_a_route() -> None:
    async with _obedient() as admin:
        more = counts(("call", "pod-2", 1))
        admin.worker(1, counts=[*counts(("call", "pod-1", 3), ("other", "pod-1", 5)), *more])
        admin.worker(2, counts=more)
        assert _named((await admin.ask("POST", "/drain", {"route": "call"}))[1]) == [("route", "call", 5)]


# A service before the pods has led calls to them, too.
async def test_what_remains_on_a_pod_counts_under_every_name() -> None:
    async with _obedient() as admin:
        admin.worker(
            1,
            tunnels=[
                tunnel("by-name"),
                tunnel("moved", address="127.0.0.99"),
                tunnel("by-service", pod="pods.test", address="127.0.0.11"),
                tunnel("elsewhere", pod="pods.test", address="127.0.0.12"),
            ],
        )
        assert _named((await admin.ask("POST", "/drain", {"pod": "pod-1"}))[1]) == [("pod", "pod-1", 3)]
        assert _named((await admin.ask("POST", "/drain", {"pod": "127.0.0.12"}))[1])[1] == ("pod", "127.0.0.12", 1)


async def test_what_remains_is_not_known_while_a_worker_does_not_answer(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with _obedient() as admin:
        admin.worker(1).mute = True
        admin.learn(drains=EVERY)
        remaining = [("all", "", 0), ("pod", "pod-1", None), ("route", "call", None)]
        assert _named((await admin.ask("GET", "/drain"))[1]) == remaining


# Its tunnels are with the vault, or on their way to the next one.
async def test_what_remains_is_not_known_while_a_slot_has_no_worker() -> None:
    async with rig(wanted=2) as admin:
        admin.worker(2)
        admin.learn(drains=EVERY)
        names = [("all", ""), ("pod", "pod-1"), ("route", "call")]
        assert _named((await admin.ask("GET", "/drain"))[1]) == [(*name, None) for name in names]
        admin.worker(1)
        assert _named((await admin.ask("GET", "/drain"))[1]) == [(*name, 0) for name in names]


# The vault has them before anybody lists them: whoever reads 0 meanwhile takes the pod away.
@pytest.mark.parametrize("listed", [0, 2, 3])
async def test_what_remains_is_not_known_while_tunnels_change_their_worker(listed: int) -> None:
    async with rig(wanted=1) as admin:
        admin.board.row(0)[Column.VAULT] = 3
        rows = counts(("call", "pod-1", listed))
        admin.worker(1, counts=rows, tunnels=[tunnel(str(number)) for number in range(listed)])
        admin.learn(drains=EVERY)
        part = listed if listed == 3 else None
        remaining = [("all", "", 3), ("pod", "pod-1", part), ("route", "call", part)]
        assert _named((await admin.ask("GET", "/drain"))[1]) == remaining
        assert (await admin.ask("GET", "/status"))[1]["remaining"] == 3


async def test_what_remains_is_told_before_there_is_a_configuration() -> None:
    async with rig(None) as admin:
        admin.worker(1, tunnels=[tunnel("a")])
        admin.learn(drains=EVERY)
        assert _named((await admin.ask("GET", "/status"))[1])[1] == ("pod", "pod-1", 1)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"pods": "pod-1"}, 400, "unknown key 'pods'; known are: pod, route"),
        ({"pod": "pod 1"}, 400, "pod 'pod 1' is neither a DNS name nor an address"),
        ({"route": "health"}, 400, "route 'health' answers by itself: it has no calls"),
        ({"route": "nothing"}, 404, "no route is called 'nothing'"),
    ],
)
async def test_what_can_not_be_drained_is_refused(body: Any, status: int, error: str) -> None:
    async with _obedient() as admin:
        for method in ("POST", "DELETE"):
            assert await admin.ask(method, "/drain", body) == (status, {"error": error})
        assert admin.drains_told == []


async def test_a_pod_has_one_name_however_it_is_spelled() -> None:
    async with _obedient() as admin:
        status, answer = await admin.ask("POST", "/drain", {"pod": "POD-1."})
        assert (status, [entry["name"] for entry in answer["drains"]]) == (200, ["pod-1"])
        assert await admin.ask("DELETE", "/drain", {"pod": "pod-1"}) == (200, {"drains": []})


# A reload may have taken away what is drained.
async def test_what_is_drained_and_known_to_nobody_can_be_lifted() -> None:
    async with _obedient() as admin:
        admin.learn(drains=OperatorDrains(pods={"gone": 1.0}, routes={"gone": 1.0, "health": 1.0}))
        for body in ({"pod": "gone"}, {"route": "gone"}, {"route": "health"}):
            assert (await admin.ask("DELETE", "/drain", body))[0] == 200
        assert admin.facts.drains == NOTHING


async def test_a_drain_for_a_sigterm_is_shown_and_can_not_be_lifted() -> None:
    async with _obedient() as admin:
        admin.learn(draining=True)
        shown = {"drains": [{"scope": "all", "name": "", "since": None, "remaining": 0}]}
        assert await admin.ask("GET", "/drain") == (200, shown)
        status, body = await admin.ask("DELETE", "/drain")
        assert (status, body) == (409, {"error": "the supervisor drains for a SIGTERM: that can't be lifted"})
        assert (await admin.ask("POST", "/drain", {"pod": "pod-1"}))[0] == 200
        assert (await admin.ask("DELETE", "/drain", {"pod": "pod-1"}))[0] == 200


async def test_it_holds_when_the_facts_show_it(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig() as admin:
        late = "not all workers have confirmed it within 5 s; they still may"
        assert await admin.ask("POST", "/drain", {"pod": "pod-1"}) == (504, {"error": late})
        assert await admin.ask("GET", "/drain") == (200, {"drains": []})


# The supervisor has been told of the first, and may still be waiting for a worker: the second must not undo it.
async def test_what_is_not_confirmed_yet_is_part_of_what_comes_next(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig() as admin:
        assert (await admin.ask("POST", "/drain", {"pod": "pod-1"}))[0] == 504
        assert wire.receive(admin.supervisor, AdminReport) is not None
        admin.nursery.start_soon(admin.confirm_drains)
        _, answer = await admin.ask("POST", "/drain", {"pod": "pod-2"})
        assert [entry["name"] for entry in answer["drains"]] == ["pod-1", "pod-2"]


async def test_many_at_once_undo_nothing_of_each_other(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    statuses = []

    async def ask(admin: Rig, pod: str) -> None:
        statuses.append((await admin.ask("POST", "/drain", {"pod": pod}))[0])

    async def take_time(admin: Rig) -> None:  # and show only the newest of what has come meanwhile
        while True:
            await trio.lowlevel.wait_readable(admin.supervisor)
            await trio.sleep(0.5)
            with suppress(BlockingIOError):
                while (heard := wire.receive(admin.supervisor, AdminReport)) is not None:
                    assert isinstance(heard.message, WantDrains)
                    newest = heard.message.drains
            admin.learn(drains=newest)

    pods = [f"127.0.1.{number}" for number in range(5)]
    async with rig() as admin:
        admin.worker(1, endpoints=[endpoint("any", pod) for pod in pods])
        admin.nursery.start_soon(take_time, admin)
        async with trio.open_nursery() as nursery:
            for pod in pods:
                nursery.start_soon(ask, admin, pod)
        assert set(admin.facts.drains.pods) == set(pods)
        assert statuses == [200] * 5


async def test_as_many_as_a_packet_can_carry() -> None:
    async with _obedient() as admin:
        admin.learn(drains=OperatorDrains(pods={f"{number:0250}": 1.0 for number in range(120)}))
        status, body = await admin.ask("POST", "/drain", {"pod": "pods.test"})
        assert (status, body) == (200, body)
        admin.learn(drains=OperatorDrains(pods={f"{number:0250}": 1.0 for number in range(130)}))
        status, body = await admin.ask("POST", "/drain", {"pod": "pods.test"})
        assert (status, body) == (409, {"error": "too much is drained already: lift something first"})
        assert all(len(to_json(drains)) < 60_000 for drains in admin.drains_told)


# Against the obvious model: three sets.
@given(
    st.lists(
        st.tuples(st.sampled_from(["POST", "DELETE"]), st.sampled_from(["", "pod", "route"]), st.integers(1, 2)),
        max_size=8,
    )
)
def test_what_is_drained_is_what_was_asked_for_last(steps: list[tuple[str, str, int]]) -> None:
    config = (
        CONFIG.replace('name = "call"', 'name = "call-1"')
        + '[[routes]]\nname = "call-2"\npath = "/x"\nupstream = "any-pod"\n'
    )

    async def run() -> None:
        async with rig(config) as admin:
            admin.nursery.start_soon(admin.confirm_drains)
            model: set[tuple[str, str]] = set()
            for method, scope, number in steps:
                name = {"": "", "pod": f"pod-{number}", "route": f"call-{number}"}[scope]
                _, answer = await admin.ask(method, "/drain", {scope: name} if scope else None)
                entry = (scope or "all", name)
                model = model | {entry} if method == "POST" else model - {entry}
                assert {(one["scope"], one["name"]) for one in answer["drains"]} == model

    trio.run(run)
