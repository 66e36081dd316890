"""The access log: one JSON line at each end, with all that an operator asks of a call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, Line, running
from tests.kit.pods import http_pod, ok, raw_pod, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, ask, dial, request

ROUTES = """
[[routes]]
name = "quiet"
regex = '^/quiet/(?<pod>[^/]+)/'
upgrade = ["websocket"]
upstream = "pod"
log = false
"""
REQUEST = {"time", "id", "route", "client", "method", "path", "status"}
HANDSHAKE = {"target", "endpoint", "attempts", "resolve_ms", "connect_ms", "handshake_ms"}
END = {"bytes_to_pod", "bytes_to_client", "duration_ms", "closed_by", "reason"}


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(ROUTES), site) as edge:
        yield edge


async def exchange(edge: Edge, path: str) -> Line:
    line = await edge.line("exchange", path=path)
    assert line.keys() >= REQUEST | END
    return line


async def test_a_tunnel_has_a_line_at_each_end(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await tunnel_pod(nursery, place.address, place.port)
    path = f"/ws/{place.name}/a%2Fb"
    async with tunnel(edge, f"{path}?token=secret", source="127.0.0.7") as call:
        opened = await edge.line("tunnel_open", path=path)
        await call.send(b"x" * 1000)
        await call.exactly(1000)
        await trio.sleep(0.05)
    closed = await edge.line("tunnel_close", path=path)
    assert opened.keys() >= REQUEST | HANDSHAKE
    assert closed.keys() >= REQUEST | HANDSHAKE | END
    assert {key: closed[key] for key in opened if key not in ("event", "time")} == {
        key: opened[key] for key in opened if key not in ("event", "time")
    }
    assert (closed["route"], closed["client"], closed["method"], closed["status"]) == ("ws", "127.0.0.7", "GET", 101)
    assert closed["target"] == f"{place.name}.pods.test:{place.port}/a%2Fb"
    assert closed["endpoint"] == place.endpoint
    assert closed["attempts"] == [{"upstream": "pod", "endpoint": place.endpoint, "failure": None}]
    assert (closed["bytes_to_pod"], closed["bytes_to_client"]) == (1000, 1000)
    assert closed["duration_ms"] >= 50
    assert all(closed[key] >= 0 for key in ("resolve_ms", "connect_ms", "handshake_ms"))
    assert datetime.fromisoformat(closed["time"]) >= datetime.fromisoformat(opened["time"])
    assert pod.seen[0].values("X-Request-ID") == [closed["id"].encode()]
    assert "secret" not in str(opened) + str(closed)


async def test_an_exchange_has_one_line(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port, ok(b"four", status=b"201 Created"))
    path = f"/http/{place.name}/x"
    await ask(edge.address, "POST", f"{path}?token=secret", body=b"twenty bytes of body")
    line = await exchange(edge, path)
    assert line.keys() >= HANDSHAKE
    assert (line["status"], line["bytes_to_pod"], line["bytes_to_client"]) == (201, 20, 4)
    assert (line["method"], line["endpoint"]) == ("POST", place.endpoint)
    assert len(edge.find(("exchange", "tunnel_open", "tunnel_close"), path=path)) == 1


async def test_answers_of_our_own_are_logged_too(edge: Edge) -> None:
    await ask(edge.address, "GET", "/health")
    line = await exchange(edge, "/health")
    assert (line["route"], line["status"], line["bytes_to_client"], line["closed_by"]) == ("health", 200, 8, "proxy")
    await ask(edge.address, "GET", "/not-there")
    line = await exchange(edge, "/not-there")
    assert (line["route"], line["status"], line["reason"]) == (None, 404, "no_route")


async def test_a_route_may_be_silent(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/quiet/{place.name}/x"):
        pass
    await ask(edge.address, "GET", "/said-later")
    await exchange(edge, "/said-later")
    assert not [line for line in edge.lines if line.get("route") == "quiet"]


@pytest.mark.parametrize(("closer", "how"), [(c, h) for c in ("client", "pod") for h in ("eof", "reset")])
async def test_who_ended_a_tunnel_and_how(edge: Edge, nursery: trio.Nursery, closer: str, how: str) -> None:
    place = edge.site.take()

    async def end(wire: Wire, mine: bool) -> None:
        if not mine:
            await wire.end()
        elif how == "reset":
            wire.reset()
        else:
            await wire.close()

    await tunnel_pod(nursery, place.address, place.port, lambda wire: end(wire, closer == "pod"))
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        await end(call, closer == "client")
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["closed_by"], line["reason"]) == (closer, how)


async def test_who_ended_an_exchange_and_why(edge: Edge, nursery: trio.Nursery) -> None:
    places = {what: edge.site.take() for what in ("refused", "closed", "broken off")}

    async def close(wire: Wire) -> None:
        await wire.head()

    async def break_off(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

    await raw_pod(nursery, places["closed"].address, edge.site.port, close)
    await raw_pod(nursery, places["broken off"].address, edge.site.port, break_off)
    for what, reason in (("refused", "connect_refused"), ("closed", "pod_closed"), ("broken off", "bad_answer")):
        async with dial(edge.address) as wire:
            await wire.send(request("GET", f"/http/{places[what].name}/", "Connection: close"))
            await wire.end()
        line = await exchange(edge, f"/http/{places[what].name}/")
        assert (line["closed_by"], line["reason"]) == ("pod", reason), what
        assert line["detail"]


async def test_a_failed_attempt_is_told_with_its_reason(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.twin, place.port)
    async with tunnel(edge, f"/ws/{place.name}/x"):
        line = await edge.line("tunnel_open", path=f"/ws/{place.name}/x")
    first, second = line["attempts"]
    assert (first["endpoint"], first["failure"]) == (place.endpoint, "connect_refused")
    assert first["detail"]
    assert (second["endpoint"], second["failure"]) == (place.twin_endpoint, None)


async def test_no_client_can_break_a_line(plain_edge: Edge, nursery: trio.Nursery) -> None:
    place = plain_edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    long = '"' * 3000
    heads = [
        handshake("/nowhere", host="a" * 5000),
        handshake(f"/nowhere/{long}"),
        handshake(f"/ws/{place.name}/{long}"),
        handshake("/nowhere", "X-Request-ID: " + '"' * 128, "X-Forwarded-For: " + "1, " * 5000),
    ]
    for head in heads:
        async with dial(plain_edge.address, source="127.0.0.9") as wire:
            await wire.send(head)
            await wire.head()
    await ask(plain_edge.address, "GET", "/last")
    await exchange(plain_edge, "/last")
    plain_edge.check()


async def test_malformed_heads_leave_a_line_with_the_fault(edge: Edge) -> None:
    async with dial(edge.address, source="127.0.0.6") as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[31m\0\r\n\r\n")
        assert (await wire.reply()).status == 400
    line = await edge.line("exchange", status=400, client="127.0.0.6")
    assert line["reason"] == "bad_request"
    assert "control" in line["detail"] or "NUL" in line["detail"]
    assert not re.search(r"[\x00-\x1f]", line["detail"])


async def test_queries_are_logged_when_asked_for() -> None:
    site = Site(pods=1)
    with running(site.toml(extra="[log]\nquery = true\n"), site) as edge:
        await ask(edge.address, "GET", "/health?a=%20b")
        line = await edge.line("exchange", path="/health")
        assert line["query"] == "a=%20b"
