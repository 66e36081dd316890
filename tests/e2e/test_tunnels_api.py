"""Live tunnels at the admin address of a running edge: they are listed as they are; exactly the named one is ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio

from tests.e2e.operator import (
    Growth,
    ask_admin,
    kill_admin,
    listed,
    observed,
    scrape,
    see,
    see_until,
)
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker_of, slot_of, the_gap, tunnel_at
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import Wire, until
from tests.kit.workers import kill_and_see, worker_pids

_TUNNEL = {
    "id",
    "route",
    "pod",
    "upstream",
    "endpoint",
    "client",
    "host",
    "path",
    "protocol",
    "age_s",
    "idle_s",
    "bytes_to_pod",
    "bytes_to_client",
    "worker",
    "adopted",
    "client_rtt_ms",
    "client_retransmits",
    "pod_rtt_ms",
    "pod_retransmits",
    "via",
}


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(observed(site), site) as edge:
        yield edge


# ---- what is listed ----


def keys_of(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for key, inner in value.items():
                yield key
                yield from keys_of(inner)
        case list():
            for inner in value:
                yield from keys_of(inner)


async def test_tunnels_are_listed_as_they_are_now(edge: Edge, place: Place) -> None:
    paths = [f"/ws/{place.name}/{number}" for number in range(6)]
    async with AsyncExitStack() as stack:
        wires = []
        for number, path in enumerate(paths):
            opening = tunnel_at(edge, 1 + number % 2, path, "X-Forwarded-For: 192.0.2.7", source="127.0.0.9")
            wires.append(await stack.enter_async_context(opening))
            assert set(await listed(edge)) == set(paths[: number + 1])
        for number, wire in enumerate(wires):
            await echoes(wire, bytes(100 + number))
        said = await see(edge, "/tunnels")
        assert list(keys_of(said)).count("id") == len(paths)
        rows = await listed(edge)
        for number, (wire, path) in enumerate(zip(wires, paths, strict=True)):
            row = rows[path]
            opened = await edge.line("tunnel_open", path=path)
            assert row.keys() == _TUNNEL
            for key in ("id", "route", "pod", "upstream", "endpoint", "client", "protocol"):
                assert row[key] == opened[key], key
            assert row["client"] == "192.0.2.7"
            assert (row["bytes_to_pod"], row["bytes_to_client"]) == (100 + number, 100 + number)
            assert row["worker"] == slot_of(edge, wire) == 1 + number % 2
            assert row["adopted"] == 0
            assert 0 <= row["idle_s"] <= row["age_s"]
            assert row["client_rtt_ms"] > 0
            assert row["pod_rtt_ms"] > 0
            assert row["client_retransmits"] >= 0
            assert row["pod_retransmits"] >= 0
        for wire, path in zip(wires, paths, strict=True):
            await wire.close()
            await edge.line("tunnel_close", path=path)
            assert path not in await listed(edge)
    assert await listed(edge) == {}


async def test_some_tunnels_by_route_and_pod(edge: Edge, place: Place, nursery: trio.Nursery) -> None:
    other = edge.site.take()
    await tunnel_pod(nursery, other.address, other.port)
    async with (
        tunnel(edge, f"/ws/{place.name}/x"),
        tunnel(edge, f"/ws1/{place.name}/x"),
        tunnel(edge, f"/ws/{other.name}/x"),
    ):
        for query, wanted in (
            ("route=ws", {f"/ws/{place.name}/x", f"/ws/{other.name}/x"}),
            (f"pod={place.name}", {f"/ws/{place.name}/x", f"/ws1/{place.name}/x"}),
            (f"pod={place.name}&route=ws1", {f"/ws1/{place.name}/x"}),
            ("route=nowhere", set()),
        ):
            assert {row["path"] for row in (await see(edge, f"/tunnels?{query}"))["tunnels"]} == wanted
        assert (await ask_admin(edge, "GET", "/tunnels?pods=x")).status == 400
    await edge.wait_lines(3, "tunnel_close")


async def test_idle_begins_anew_with_each_frame(edge: Edge, place: Place) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        for _ in range(2):
            await see_until(edge, "/tunnels", lambda said: said["tunnels"] and said["tunnels"][0]["idle_s"] > 0.3)
            before = trio.current_time()
            await echoes(call)
            idle = (await listed(edge))[f"/ws/{place.name}/x"]["idle_s"]
            assert idle <= trio.current_time() - before
            await kill_worker_of(edge, call)
    await edge.line("tunnel_close")


async def test_right_after_a_kill(edge: Edge, place: Place) -> None:
    path = f"/ws/{place.name}/x"
    async with tunnel(edge, path) as call:
        await echoes(call, bytes(5000))
        before = (await listed(edge))[path]
        for adopted in range(1, 4):
            await kill_worker_of(edge, call)
            await echoes(call, bytes(1000))
            now = (await listed(edge))[path]
            for key in ("id", "route", "pod", "upstream", "endpoint", "client", "protocol"):
                assert now[key] == before[key], key
            assert now["adopted"] == adopted
            assert now["worker"] == slot_of(edge, call)
            assert now["bytes_to_pod"] == now["bytes_to_client"] == 5000 + 1000 * adopted
            assert now["age_s"] > before["age_s"]
            before = now
        await kill_admin(edge)
        assert (await see_until(edge, "/tunnels", lambda said: said["tunnels"]))["tunnels"][0]["id"] == before["id"]
    await edge.line("tunnel_close")


# ---- ending one ----


async def test_exactly_that_one_is_closed(edge: Edge, nursery: trio.Nursery) -> None:
    place, ends = edge.site.take(), list[bytes]()

    async def echo_and_note(wire: Wire) -> None:
        while data := await wire.some():
            await wire.send(data)
        ends.append(b"eof")  # a reset would have raised

    await tunnel_pod(nursery, place.address, place.port, echo_and_note)
    before = await scrape(edge)
    async with AsyncExitStack() as stack:
        wires = {}
        for number in range(6):
            path = f"/ws/{place.name}/{number}"
            wires[path] = await stack.enter_async_context(tunnel_at(edge, 1 + number % 2, path))
            await echoes(wires[path])
        for number in (3, 0):
            path = f"/ws/{place.name}/{number}"
            row = (await listed(edge))[path]
            reply = await ask_admin(edge, "DELETE", f"/tunnels/{row['id']}")
            assert (reply.status, json.loads(reply.body)) == (200, {"closed": row["id"]})
            assert await wires.pop(path).rest() == b""
            line = await edge.line("tunnel_close", id=row["id"])
            assert (line["closed_by"], line["reason"]) == ("proxy", "operator")
            assert (line["bytes_to_pod"], line["bytes_to_client"]) == (5, 5)
            assert (await ask_admin(edge, "DELETE", f"/tunnels/{row['id']}")).status == 404
        await until(lambda: len(ends) == 2)
        for wire in wires.values():
            await echoes(wire)
        assert set(await listed(edge)) == set(wires)
        assert Growth(before, await scrape(edge))("tunnel_closes_total", closer="proxy", reason="operator") == 2
    await edge.wait_lines(6, "tunnel_close")


async def test_ids_that_are_none(edge: Edge, place: Place) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        row = (await listed(edge))[f"/ws/{place.name}/x"]
        for name in ("0" * 32, row["id"].upper() + "0", row["id"][:-1], "%00", "%2e%2e", "*"):
            assert (await ask_admin(edge, "DELETE", f"/tunnels/{name}")).status in (400, 404), name
        await echoes(call)
    await edge.line("tunnel_close")


async def test_one_whose_worker_is_being_killed(edge: Edge, place: Place) -> None:
    """In the gap nobody has it; and yet it is ended."""
    for number in range(3):
        path = f"/ws/{place.name}/{number}"
        async with tunnel_at(edge, 1, path) as call:
            row = (await listed(edge))[path]
            victim = worker_pids(edge.pid)[1]
            await kill_and_see(victim)
            reply = await ask_admin(edge, "DELETE", f"/tunnels/{row['id']}")
            assert (reply.status, json.loads(reply.body)) == (200, {"closed": row["id"]})
            assert await call.rest() == b""
        line = await edge.line("tunnel_close", id=row["id"])
        assert (line["closed_by"], line["reason"], line["adopted"]) == ("proxy", "operator", 1)
        await edge.expected(1, "worker_died", pid=victim)
        await until(lambda: 1 in worker_pids(edge.pid))


async def test_a_worker_that_does_nothing_keeps_nobody_waiting(edge: Edge, place: Place) -> None:
    """What it has is not in the list, which says so; what the other one has is."""
    async with tunnel_at(edge, 1, f"/ws/{place.name}/1") as one, tunnel_at(edge, 2, f"/ws/{place.name}/2"):
        async with the_gap(edge, one):
            said = await see(edge, "/tunnels")
            assert said["missing_workers"] == [1]
            assert [row["path"] for row in said["tunnels"]] == [f"/ws/{place.name}/2"]
        await echoes(one)
        assert len(await listed(edge)) == 2
    await edge.wait_lines(2, "tunnel_close")


@pytest.mark.slow
async def test_one_that_a_silent_worker_may_have(edge: Edge, place: Place) -> None:
    """Nobody says that there is none."""
    async with tunnel_at(edge, 1, f"/ws/{place.name}/1") as one:
        row = (await listed(edge))[f"/ws/{place.name}/1"]
        async with the_gap(edge, one):
            assert (await ask_admin(edge, "DELETE", f"/tunnels/{row['id']}")).status == 503
    await edge.line("tunnel_close")


async def test_a_pod_that_is_deaf_can_be_closed(edge: Edge, nursery: trio.Nursery) -> None:
    """It takes nothing any more, and its client sends on."""
    place, over = edge.site.take(), trio.Event()

    async def take(wire: Wire) -> None:
        await over.wait()

    await tunnel_pod(nursery, place.address, place.port, take)
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        with trio.move_on_after(0.3):
            while True:
                await call.stream.send_all(bytes(1 << 20))
        row = (await listed(edge))[f"/ws/{place.name}/x"]
        assert (await ask_admin(edge, "DELETE", f"/tunnels/{row['id']}")).status == 200
        assert await call.end() in ("eof", "reset")
    over.set()
    assert (await edge.line("tunnel_close", id=row["id"]))["reason"] == "operator"
