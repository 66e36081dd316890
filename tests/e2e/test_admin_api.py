"""The admin address of a running edge: what it says is so right now, and it does nothing but what it should."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

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
from tests.kit.fleet import echoes, tunnel_at
from tests.kit.site import Place, Site
from tests.kit.wire import ask, dial
from tests.kit.workers import worker_pids

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
    "/certificates": {"GET", "HEAD"},
    "/": {"GET", "HEAD"},
    "/ui/app.js": {"GET", "HEAD"},
    "/events": {"GET", "HEAD"},
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
_ROUTES = """
[[routes]]
name = "their-metrics"
path = "/metrics"
respond = { status = 200, body = "theirs\\n" }
"""


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
    await see_until(edge, "/config", lambda said: "new" in [route["name"] for route in said["routes"]])
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
