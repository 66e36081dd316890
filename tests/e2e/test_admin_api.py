"""The admin address of a running edge: what it says is so right now, and it does nothing but what it should."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio

from tests.e2e.operator import (
    Growth,
    address_of,
    ask_admin,
    kill_admin,
    listed,
    observed,
    scrape,
    scrape_until,
    see,
    see_until,
)
from tests.e2e.test_command_line import splicer
from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker_of, slot_of, the_gap, tunnel_at
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import Wire, ask, dial, until
from tests.kit.workers import kill_and_see, worker_pids

_PAGES = {
    "/healthz": {"GET", "HEAD"},
    "/metrics": {"GET", "HEAD"},
    "/status": {"GET", "HEAD"},
    "/tunnels": {"GET", "HEAD"},
    "/tunnels/0123456789abcdef": {"DELETE"},
    "/drain": {"GET", "HEAD", "POST", "DELETE"},
    "/config": {"GET", "HEAD"},
    "/upstreams": {"GET", "HEAD"},
    "/explain": {"GET", "HEAD"},
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
_ROUTES = """
[[routes]]
name = "their-metrics"
path = "/metrics"
respond = { status = 200, body = "theirs\\n" }
"""
_TUNNEL = {
    "id",
    "route",
    "pod",
    "upstream",
    "endpoint",
    "client",
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
}


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(observed(site, routes=_ROUTES), site) as edge:
        yield edge


# ---- whom it serves, and what ----


async def test_no_path_and_no_method_but_its_own(edge: Edge) -> None:
    for path, methods in _PAGES.items():
        for method in _METHODS:
            if method not in methods:
                reply = await ask(address_of(edge), method, path, host="127.0.0.1")
                assert reply.status == 405, (method, path)
                assert {word.decode() for word in reply.values("Allow")[0].split(b", ")} == methods
                assert method == "HEAD" or json.loads(reply.body)["error"]
    for path in (
        "/",
        "/health",
        "/ready",
        "/ws/agent-1/x",
        "/tunnels/",
        "/tunnels/a/b",
        "/METRICS",
        "/metrics/",
        "//metrics",
    ):
        for method in ("GET", "POST", "DELETE"):
            reply = await ask(address_of(edge), method, path, host="127.0.0.1")
            assert reply.status == 404, (method, path)
            assert json.loads(reply.body)["error"]
    assert not (await see(edge, "/status"))["draining"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"pod"',
        b'{"pods": "x"}',
        b'{"pod": 1}',
        b'{"pod": ""}',
        b'{"pod": "a", "route": "ws"}',
        b'{"pod": "a b"}',
        b"\xff",
    ],
)
async def test_no_body_but_its_own(edge: Edge, body: bytes) -> None:
    for method in ("POST", "DELETE"):
        reply = await ask(address_of(edge), method, "/drain", host="127.0.0.1", body=body)
        assert reply.status == 400
        assert "\n" not in json.loads(reply.body)["error"]
    assert await see(edge, "/drain") == {"drains": []}


async def test_what_nobody_knows_can_not_be_drained(edge: Edge) -> None:
    for body in ({"pod": "nobody"}, {"route": "nowhere"}):
        for method in ("POST", "DELETE"):
            assert (await ask_admin(edge, method, "/drain", body)).status == 404
    assert (await ask_admin(edge, "POST", "/drain", {"route": "health"})).status == 400
    assert await see(edge, "/drain") == {"drains": []}


async def test_no_body_where_none_is_wanted_and_no_large_one(edge: Edge) -> None:
    large = b'{"pod": "' + b"x" * 100_000 + b'"}'
    for method, path, body in (("GET", "/status", b"{}"), ("DELETE", "/tunnels/x", b"{}"), ("POST", "/drain", large)):
        assert (await ask(address_of(edge), method, path, host="127.0.0.1", body=body)).status == 413
    assert await see(edge, "/drain") == {"drains": []}


async def test_no_page_of_another_site(edge: Edge) -> None:
    """Neither under a name of its own (DNS rebinding), nor by a form that it sends here."""
    for host in ("evil.example", "edge.test", "127.0.0.1.evil.example"):
        for method, path in (("GET", "/tunnels"), ("GET", "/metrics"), ("POST", "/drain")):
            assert (await ask(address_of(edge), method, path, host=host)).status == 403, host
    for field in ("Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"):
        for method, path in (("POST", "/drain"), ("DELETE", "/drain"), ("DELETE", "/tunnels/x")):
            assert (await ask_admin(edge, method, path, None, field)).status == 403, field
    assert await see(edge, "/drain") == {"drains": []}
    for host in ("127.0.0.1", "localhost:9901", "[::1]"):
        assert (await ask(address_of(edge), "GET", "/healthz", host=host)).body == b"ok\n"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /status HTTP/1.1\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\nHost: 127.0.0.1\n\n", 400),
        (b"GET http://127.0.0.1/../status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (handshake("/status", host="127.0.0.1"), 200),
    ],
)
async def test_it_reads_as_strictly_as_the_public_address(edge: Edge, raw: bytes, status: int) -> None:
    async with dial(address_of(edge)) as wire:
        await wire.send(raw)
        assert (await wire.reply()).status == status


async def test_the_public_address_routes_its_paths_like_any_other(edge: Edge, place: Place) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        row = (await listed(edge))[f"/ws/{place.name}/x"]
        assert (await ask(edge.address, "GET", "/metrics", host="127.0.0.1")).body == b"theirs\n"
        assert (await ask(edge.address, "GET", "/status", host="127.0.0.1")).body.startswith(b"Active connections")
        for method, path in (
            ("GET", "/tunnels"),
            ("DELETE", f"/tunnels/{row['id']}"),
            ("POST", "/drain"),
            ("GET", "/config"),
            ("GET", "/healthz"),
            ("GET", "/upstreams"),
        ):
            assert (await ask(edge.address, method, path, host="127.0.0.1")).status == 404, path
            await edge.line("exchange", path=path, route=None, reason="no_route")
        await echoes(call)
        assert not (await see(edge, "/status"))["draining"]


# ---- what it says of the edge ----


async def test_the_status_page(edge: Edge, place: Place) -> None:
    before = await see(edge, "/status")
    async with AsyncExitStack() as stack:
        for slot in (1, 2, 2):
            await stack.enter_async_context(tunnel_at(edge, slot, f"/ws/{place.name}/{slot}"))
        now = await see_until(edge, "/status", lambda said: said["totals"]["tunnels"] == said["remaining"] == 3)
        workers = {worker["slot"]: worker for worker in now["workers"]}
        assert {slot: worker["pid"] for slot, worker in workers.items()} == worker_pids(edge.pid)
        assert [workers[slot]["tunnels"] for slot in (1, 2)] == [1, 2]
        assert now["totals"]["requests"] >= before["totals"]["requests"] + 3
        assert now["uptime_s"] > before["uptime_s"]
        assert now["drains"] == []
        assert now["draining"] is False
    await see_until(edge, "/status", lambda said: said["remaining"] == 0)


async def test_reloads_show(edge: Edge) -> None:
    before, counted, text = await see(edge, "/status"), await scrape(edge), edge.path.read_text()
    assert (await edge.reload(text + '\n[[routes]]\nname = "new"\npath = "/new"\nrespond = { status = 200 }\n'))[
        "event"
    ] == "reload"
    now = await see_until(edge, "/status", lambda said: said["generation"] > before["generation"])
    assert now["config"]["reloads"] == {**before["config"]["reloads"], "ok": before["config"]["reloads"]["ok"] + 1}
    assert now["config"]["last_reload"]["ok"] is True
    assert "new" in [route["name"] for route in (await see(edge, "/config"))["routes"]]
    grown = Growth(counted, await scrape(edge))
    assert grown("config_generation") == grown("config_reloads_total", result="ok") == 1
    assert grown("config_reloads_total", result="failed") == 0

    assert (await edge.reload("nonsense"))["event"] == "reload_failed"
    edge.write(text)
    now = await see_until(edge, "/status", lambda said: said["config"]["last_reload"]["ok"] is False)
    assert now["config"]["reloads"]["failed"] == before["config"]["reloads"]["failed"] + 1
    assert "new" in [route["name"] for route in (await see(edge, "/config"))["routes"]]
    grown = Growth(counted, after := await scrape(edge))
    assert after.total("config_last_reload_success") == 0
    assert grown("config_reloads_total", result="failed") == grown("config_generation") == 1
    assert grown("config_last_reload_timestamp_seconds") > 0
    assert (await ask(edge.address, "GET", "/new")).status == 200

    assert (await edge.reload(text))["event"] == "reload"
    await scrape_until(edge, lambda now: now.total("config_last_reload_success") == 1)


async def test_the_configuration_has_its_defaults(edge: Edge) -> None:
    for _ in range(2):
        config = await see(edge, "/config")
        assert config["deadlines"]["drain"] == "1h"
        assert config["log"]["progress"] == "5m"
        assert config["server"]["workers"] == 2
        assert config["upstreams"]["pod"]["balance"] == "least-tunnels"
        [ws] = [route for route in config["routes"] if route["name"] == "ws"]
        assert (ws["upstream"], ws["fallback"]) == ("pod", "any")
        await kill_admin(edge)


async def test_explain_says_what_the_command_says(edge: Edge) -> None:
    for method, target in (("GET", "/ws/agent-1/x?y=z"), ("GET", "/nowhere"), ("POST", "/http/agent-1/x")):
        said = await see(edge, f"/explain?method={method}&target={target.replace('?', '%3F')}&header=Host:%20edge.test")
        told = await splicer("explain", method, target, "-H", "Host: edge.test", "-c", edge.path)
        assert told.out.splitlines() == said["lines"]
        assert said["found"] == (told.code == 0)


async def test_what_is_known_of_the_pods(edge: Edge, place: Place) -> None:
    nowhere = edge.site.take()

    async def state(upstream: str, pod: str) -> tuple[Any, Any, Any]:
        [found] = [one for one in (await see(edge, "/upstreams"))["upstreams"] if one["name"] == upstream]
        rows = [row for row in found["endpoints"] if row["pod"] == pod and row["state"] != "unknown"]
        assert len(rows) <= 1
        return (rows[0]["state"], rows[0]["failure"], rows[0]["tunnels"]) if rows else (None, None, None)

    for slot in (1, 2):  # both learn of it
        async with tunnel_at(edge, slot, f"/ws1/{place.name}/x"):
            assert await state("pod", place.name) == ("up", None, 1)
        await edge.wait_lines(slot, "tunnel_close", path=f"/ws1/{place.name}/x")
    assert (await ask(edge.address, "GET", f"/http/{nowhere.name}/x")).status == 502
    await edge.line("exchange", path=f"/http/{nowhere.name}/x")
    assert await state("pod", nowhere.name) == ("down", "connect_refused", 0)


# ---- live tunnels ----


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
            await see_until(edge, "/tunnels", lambda said: said["tunnels"][0]["idle_s"] > 0.3)
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
