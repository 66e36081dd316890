"""Attempts: what sends a call to another pod, what doesn't, and what the client hears in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.http import Message
from tests.kit.pods import Handler, Pod, ok, raw_pod, switching, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import Wire, dial

ROUTES = """
[upstreams.nowhere]
address = "nowhere.test:1"
[upstreams.elsewhere]
address = "{pod}.pods.test:1"
allow = ["10.0.0.0/8"]
[upstreams.again]
address = "{pod}.pods.test:PORT"
allow = ["127.0.0.0/8"]
[[routes]]
name = "from-nowhere"
regex = '^/from-nowhere/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "nowhere"
fallback = "any"
[[routes]]
name = "not-allowed"
regex = '^/not-allowed/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "elsewhere"
fallback = "any"
[[routes]]
name = "to-itself"
regex = '^/to-itself/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
fallback = "pod"
[[routes]]
name = "to-the-same-pod"
regex = '^/to-the-same-pod/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
fallback = "again"
[[routes]]
name = "on-500"
regex = '^/on-500/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
fallback = "any"
fallback_on = [500]
[[routes]]
name = "in-a-hurry"
regex = '^/in-a-hurry/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
fallback = "any"
deadlines = { handshake = "10s", attempts = "600ms" }
"""
RESOLVER = '[resolver]\nnameservers = ["127.0.0.1:1"]\n'


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    deadlines = 'resolve = "600ms"\nconnect = "600ms"\nhandshake = "600ms"\n'
    with running(site.toml(ROUTES.replace("PORT", str(site.port)), deadlines=deadlines, extra=RESOLVER), site) as edge:
        yield edge


async def silent(wire: Wire) -> None:
    await wire.end()


async def gone(wire: Wire) -> None:
    await wire.head()


async def reset(wire: Wire) -> None:
    await wire.head()
    wire.reset()


async def broken_off(wire: Wire) -> None:
    await wire.head()
    await wire.send(b"HTTP/1.1 101 Switching Prot")


def status(line: bytes) -> Handler:
    async def answer(wire: Wire) -> None:
        await wire.head()
        await wire.send(ok(b"an error page", status=line))
        await wire.end()

    return answer


FAILURES: dict[str, tuple[Handler | None, str, int]] = {
    "refuses": (None, "connect_refused", 502),
    "is silent": (silent, "handshake_deadline", 504),
    "closes at once": (gone, "pod_closed", 502),
    "resets": (reset, "pod_reset", 502),
    "breaks off": (broken_off, "pod_closed", 502),
    "says 502": (status(b"502 Bad Gateway"), "status", 502),
    "says 503": (status(b"503 Service Unavailable"), "status", 503),
    "says 504": (status(b"504 Gateway Timeout"), "status", 504),
}


async def failing(nursery: trio.Nursery, address: str, port: int, how: str) -> Pod | None:
    handle = FAILURES[how][0]
    return None if handle is None else await raw_pod(nursery, address, port, handle)


async def ring(edge: Edge, route: str, place: Place) -> Message:
    """A handshake's answer: a 101 ends with its head."""
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/{route}/{place.name}/x"))
        return await wire.reply()


@pytest.mark.parametrize("how", FAILURES)
async def test_a_pod_that_fails_is_replaced(edge: Edge, nursery: trio.Nursery, how: str) -> None:
    place = edge.site.take()
    pod = await failing(nursery, place.address, place.port, how)
    twin = await tunnel_pod(nursery, place.twin, place.port)
    async with tunnel(edge, f"/ws/{place.name}/x?y=z") as wire:
        await wire.send(b"hello")
        assert await wire.exactly(5) == b"hello"
    assert twin.seen[0].values("X-Splicer-Fallback-From") == [place.name.encode()]
    assert twin.seen[0].target == b"/x?y=z"
    assert pod is None or pod.connections == 1
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    first, second = line["attempts"]
    assert (first["upstream"], first["endpoint"], first["failure"]) == ("pod", place.endpoint, FAILURES[how][1])
    assert (second["upstream"], second["endpoint"], second["failure"]) == ("any", place.twin_endpoint, None)
    assert line["endpoint"] == place.twin_endpoint


@pytest.mark.parametrize("how", FAILURES)
async def test_the_status_is_that_of_the_last_attempt(edge: Edge, nursery: trio.Nursery, how: str) -> None:
    place = edge.site.take()
    await failing(nursery, place.twin, place.port, how)
    reply = await ring(edge, "ws", place)
    assert reply.status == FAILURES[how][2]
    if how.startswith("says"):
        assert reply.body == b"an error page"
    line = await edge.line("exchange", path=f"/ws/{place.name}/x")
    assert line["attempts"][0]["failure"] == "connect_refused"
    assert len(line["attempts"]) == 2


@pytest.mark.parametrize("line", [b"500 Internal Server Error", b"404 Not Found", b"429 Too Many Requests"])
async def test_other_statuses_are_the_answer(edge: Edge, nursery: trio.Nursery, line: bytes) -> None:
    place = edge.site.take()
    await raw_pod(nursery, place.address, place.port, status(line))
    twin = await tunnel_pod(nursery, place.twin, place.port)
    reply = await ring(edge, "ws", place)
    assert (reply.line, reply.body) == (f"HTTP/1.1 {line.decode()}", b"an error page")
    assert twin.connections == 0


async def test_a_route_may_name_its_own_statuses(edge: Edge, nursery: trio.Nursery) -> None:
    bad, down = edge.site.take(), edge.site.take()
    await raw_pod(nursery, bad.address, bad.port, status(b"500 Internal Server Error"))
    await raw_pod(nursery, down.address, down.port, status(b"503 Service Unavailable"))
    for place in (bad, down):
        await tunnel_pod(nursery, place.twin, place.port)
    assert (await ring(edge, "on-500", bad)).status == 101
    assert (await ring(edge, "on-500", down)).status == 503


async def test_the_endpoint_that_failed_is_left_out(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await raw_pod(nursery, place.address, place.port, gone)
    twin = await tunnel_pod(nursery, place.twin, place.port)
    for _ in range(20):
        assert (await ring(edge, "ws", place)).status == 101
    assert (pod.connections, twin.connections) == (20, 20)


async def test_early_bytes_are_for_the_pod_that_answers(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    leaked: list[bytes] = []

    async def leave_late(wire: Wire) -> None:
        await wire.head()
        await trio.sleep(0.1)
        leaked.append(bytes(wire.buffer))

    await raw_pod(nursery, place.address, place.port, leave_late)
    await tunnel_pod(nursery, place.twin, place.port)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/{place.name}/x") + b"early frame")
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        assert await wire.exactly(11) == b"early frame"
    assert leaked == [b""]


async def test_no_endpoint_is_503_with_retry_after(edge: Edge) -> None:
    place = edge.site.take()
    reply = await ring(edge, "to-the-same-pod", place)
    assert reply.status == 503
    assert len(reply.values("Retry-After")) == 1
    line = await edge.line("exchange", path=f"/to-the-same-pod/{place.name}/x")
    assert [attempt["failure"] for attempt in line["attempts"]] == ["connect_refused", "no_endpoint"]


async def test_what_falls_back_to_itself_is_tried_once(edge: Edge) -> None:
    place = edge.site.take()
    assert (await ring(edge, "to-itself", place)).status == 502
    line = await edge.line("exchange", path=f"/to-itself/{place.name}/x")
    assert [attempt["failure"] for attempt in line["attempts"]] == ["connect_refused"]


async def test_name_servers_that_are_down_lead_to_the_fallback(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    await tunnel_pod(nursery, place.twin, place.port)
    assert (await ring(edge, "from-nowhere", place)).status == 101


async def test_an_address_outside_allow_is_502_and_logged(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pods = [await tunnel_pod(nursery, address, place.port) for address in (place.address, place.twin)]
    assert (await ring(edge, "not-allowed", place)).status == 502
    assert [pod.connections for pod in pods] == [0, 0]
    line = await edge.line("exchange", route="not-allowed")
    assert (line["status"], line["reason"]) == (502, "address_not_allowed")
    assert place.address in line["detail"]


async def test_a_false_101_does_not_fall_back(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def forge(wire: Wire) -> None:
        await wire.send(switching(await wire.head()).replace(b"Accept: ", b"Accept: x"))
        await wire.end()

    await raw_pod(nursery, place.address, place.port, forge)
    twin = await tunnel_pod(nursery, place.twin, place.port)
    assert (await ring(edge, "ws", place)).status == 502
    assert twin.connections == 0


async def test_all_attempts_together_have_one_deadline(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    for address in (place.address, place.twin):
        await raw_pod(nursery, address, place.port, silent)
    with trio.fail_after(8):
        assert (await ring(edge, "in-a-hurry", place)).status == 504
    line = await edge.line("exchange", route="in-a-hurry")
    assert line["reason"] == "attempts_deadline"
