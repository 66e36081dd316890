from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from splicer.admin.tunnels import address_of
from splicer.ipc.codec import to_object
from splicer.ipc.queries import CloseTunnel, Question
from tests.admin.rig import FakeWorker, Rig, rig, tunnel

_AUTOJUMP_THRESHOLD = 0.05  # real seconds in which nothing happens, after which the clock jumps


async def _listed(admin: Rig, query: str = "") -> list[str]:
    status, body = await admin.ask("GET", "/tunnels" + query)
    assert status == 200
    return [row["id"] for row in body["tunnels"]]


async def test_all_workers_tunnels_the_oldest_first() -> None:
    async with rig() as admin:
        admin.worker(1, tunnels=[tunnel("b", age_s=2.0), tunnel("d", age_s=0.5)])
        admin.worker(2, tunnels=[tunnel("a", age_s=3600.0), tunnel("c", age_s=1.0)])
        assert await _listed(admin) == ["a", "b", "c", "d"]
        expected = to_object(tunnel("a", age_s=3600.0))
        del expected["rate"]  # it takes two looks
        assert (await admin.ask("GET", "/tunnels"))[1]["tunnels"][0] == expected


async def test_each_listing_is_asked_for_anew() -> None:
    async with rig() as admin:
        worker = admin.worker(1, tunnels=[tunnel("a")])
        assert await _listed(admin) == ["a"]
        worker.rows["tunnels"] = [tunnel("b")]
        assert await _listed(admin) == ["b"]


async def test_those_of_a_route_or_a_pod() -> None:
    async with rig() as admin:
        rows = [
            tunnel("a", route="call", pod="pod-1", age_s=4),
            tunnel("b", route="other", pod="pod-1", age_s=3),
            tunnel("c", route="call", pod="pods.test", address="127.0.0.12", age_s=2),
            tunnel("d", route="call", pod="six", endpoint="[::6]:8000", age_s=1),
        ]
        admin.worker(1, tunnels=rows)
        assert await _listed(admin, "?route=call") == ["a", "c", "d"]
        assert await _listed(admin, "?pod=pod-1") == ["a", "b"]
        assert await _listed(admin, "?pod=pod-1&route=other") == ["b"]
        assert await _listed(admin, "?pod=127.0.0.12") == ["c"]
        assert await _listed(admin, "?pod=::6") == ["d"]
        assert await _listed(admin, "?route=nothing") == []


def test_the_address_of_an_endpoint() -> None:
    assert address_of("10.0.0.1:8000") == "10.0.0.1"
    assert address_of("[fd00::1]:8000") == "fd00::1"


async def test_who_does_not_answer_is_named(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig() as admin:
        admin.worker(1, tunnels=[tunnel("a")])
        admin.worker(2).mute = True
        _, body = await admin.ask("GET", "/tunnels")
        assert ([row["id"] for row in body["tunnels"]], body["missing_workers"]) == (["a"], [2])


async def test_one_is_ended() -> None:
    async with rig(wanted=2) as admin:
        admin.worker(1, tunnels=[tunnel("b")])
        admin.worker(2, tunnels=[tunnel("a")])
        assert await admin.ask("DELETE", "/tunnels/a") == (200, {"closed": "a"})
        assert await _listed(admin) == ["b"]


async def test_one_that_nobody_has_is_not_found_at_once_when_all_is_calm(mock_clock: MockClock) -> None:
    async with rig() as admin:
        worker = admin.worker(1, tunnels=[tunnel("b")])
        mock_clock.jump(2)
        assert await admin.ask("DELETE", "/tunnels/a%20%22b") == (404, {"error": "no tunnel 'a \"b'"})
        assert [question.id for question in worker.heard if isinstance(question, CloseTunnel)] == ['a "b']
        assert await _listed(admin) == ["b"]


# It is with no worker then, but with the vault.
async def test_one_between_two_workers_is_waited_for(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig(wanted=1) as admin:
        dying = admin.worker(1, tunnels=[tunnel("a")])
        await trio.sleep(5)
        dying.die()

        async def replace() -> None:
            await trio.sleep(0.5)
            successor = admin.worker(1)
            await trio.sleep(0.3)
            successor.rows["tunnels"] = [tunnel("a")]

        admin.nursery.start_soon(replace)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await admin.ask("DELETE", "/tunnels/a") == (200, {"closed": "a"})


async def test_the_wait_has_an_end(mock_clock: MockClock) -> None:
    async with rig(wanted=2) as admin:
        admin.worker(1)
        mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD / 10  # not while a thread reads the configuration
        assert await admin.ask("DELETE", "/tunnels/a") == (404, {"error": "no tunnel 'a'"})
        assert 3 < trio.current_time() < 6


async def test_who_does_not_answer_may_have_it(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig(wanted=2) as admin:
        admin.worker(1)
        admin.worker(2).mute = True
        status, body = await admin.ask("DELETE", "/tunnels/a")
        assert (status, body) == (
            503,
            {"error": "no tunnel 'a' in those workers that answer; no answer from worker 2"},
        )


async def test_it_is_ended_though_another_does_not_answer(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig(wanted=2) as admin:
        admin.worker(1, tunnels=[tunnel("a")])
        admin.worker(2).mute = True
        assert await admin.ask("DELETE", "/tunnels/a") == (200, {"closed": "a"})


@pytest.mark.parametrize("size", [0, 1, 3000])
async def test_any_number_is_listed_whole(mock_clock: MockClock, size: int) -> None:
    """The clock stands still: no worker is late on a busy machine."""

    def answer(worker: FakeWorker, question: Question[Any]) -> None:
        async def say_all() -> None:
            for start in range(0, size, 100):
                rows = [tunnel(f"{number:04}") for number in range(start, min(size, start + 100))]
                await trio.lowlevel.wait_writable(worker.sock)
                worker.send(question, rows, more=True)
            worker.send(question, [], more=False)

        admin.nursery.start_soon(say_all)

    async with rig() as admin:
        admin.worker(1, answer)
        assert await _listed(admin) == [f"{number:04}" for number in range(size)]
