"""Too many connections, too few descriptors: what is live goes on, what is new is told, and it all recovers."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import trio

from tests.e2e.operator import observed, scrape_until
from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import only, several, tunnel_at
from tests.kit.pods import http_pod, ok, raw_pod, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import TIMEOUT, EndOfStream, Wire, ask, ask_until, dial, request, until

LIMIT = 20
ABOVE = 64  # connections over the limit that may ask for what needs no pod
DESCRIPTORS = 64


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(observed(site, workers=1, extra=f"[limits]\nconnections = {LIMIT}\n"), site) as edge:
        yield edge


@pytest.fixture
def head() -> str:
    """How long connections that have begun a request keep their descriptors."""
    return "2s"


@pytest.fixture
def poor_edge(head: str) -> Iterator[Edge]:
    site = Site()
    with running(site.toml(deadlines=f'head = "{head}"'), site, descriptors=DESCRIPTORS) as edge:
        yield edge


async def fill(edge: Edge, stack: AsyncExitStack) -> list[Wire]:
    """Open as many connections as there may be; those before us may need a moment to be gone."""
    wires: list[Wire] = []
    with trio.fail_after(TIMEOUT):
        while len(wires) < LIMIT:
            wire = await stack.enter_async_context(dial(edge.address))
            await wire.send(request("GET", "/health"))
            reply = await wire.reply()
            if reply.status == 200 and not reply.values("Connection"):  # it has a place of its own
                wires.append(wire)
            else:
                await wire.close()  # a connection that is about to end counts, too
    return wires


async def full(edge: Edge, stack: AsyncExitStack, place: Place) -> list[Wire]:
    """As many calls as there may be connections."""
    live = await fill(edge, stack)
    for wire in live:
        await wire.send(handshake(f"/ws/{place.name}/x"))
        assert (await wire.reply()).status == 101
    return live


async def test_calls_over_the_limit_are_refused_and_health_checks_answered(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with AsyncExitStack() as stack:
        live = await full(edge, stack, place)
        edge.mark()
        for _ in range(5):
            async with dial(edge.address) as wire:
                await wire.send(handshake(f"/ws/{place.name}/x"))
                reply = await wire.reply()
                assert reply.status == 503
                assert reply.values("Connection") == [b"close"]
                assert len(reply.values("Retry-After")) == 1
                assert await wire.end() in ("eof", "reset")
        for path in ("/health", "/ready", "/status"):
            async with dial(edge.address) as wire:
                await wire.send(request("GET", path))
                reply = await wire.reply()
                assert (reply.status, reply.values("Connection")) == (200, [b"close"])
                assert await wire.end() in ("eof", "reset")
        for wire in live:
            await wire.send(b"alive")
            assert await wire.exactly(5) == b"alive"
        refused = await edge.wait_lines(5, "connection_refused")
        assert {line["reason"] for line in refused} == {"too_many_connections"}
    await ask_until(edge.address, "/status", lambda reply: reply.status == 200)


async def test_only_so_many_may_ask_over_the_limit(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with AsyncExitStack() as stack:
        await full(edge, stack, place)
        edge.mark()
        for _ in range(ABOVE):
            await (await stack.enter_async_context(dial(edge.address))).send(b"GET /hea")
        async with dial(edge.address) as wire:
            assert (await wire.reply()).status == 503  # whatever it is going to ask
            assert await wire.end() in ("eof", "reset")
        await edge.line("connection_refused")


async def test_the_longest_idle_connection_makes_room_for_a_call(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with AsyncExitStack() as stack:
        idle = await fill(edge, stack)
        await scrape_until(edge, lambda now: now.total("connections_active") == LIMIT)
        edge.mark()
        calls = [await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/x")) for _ in range(LIMIT - 1)]
        for wire in idle[:-1]:
            assert await wire.end() == "eof"
        await idle[-1].send(request("GET", "/health"))
        assert (await idle[-1].reply()).status == 200
        for call in calls:
            await call.send(b"hello")
            assert await call.exactly(5) == b"hello"
        assert not edge.find("connection_refused")
        assert (await edge.line("idle_connections_closed"))["connections"] >= 1


async def test_a_connection_that_asks_nothing_makes_room_in_the_end(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with AsyncExitStack() as stack:
        live = await full(edge, stack, place)
        await live[0].close()
        silent = [await stack.enter_async_context(dial(edge.address)) for _ in range(3)]
        with trio.fail_after(TIMEOUT):
            while True:
                async with dial(edge.address) as wire:
                    await wire.send(handshake(f"/ws/{place.name}/x"))
                    if (await wire.reply()).status == 101:
                        break
        assert [await wire.end() for wire in silent[:1]] == ["eof"]


async def test_an_idle_connection_makes_room_for_a_call_of_another_worker(nursery: trio.Nursery) -> None:
    site = Site()
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)
    with running(several(site, extra=f"[limits]\nconnections = {LIMIT}\n"), site) as edge:
        async with AsyncExitStack() as stack:
            with only(edge, 1):
                idle = await fill(edge, stack)
            await ask_until(edge.address, "/status", lambda reply: f"Waiting: {LIMIT} " in reply.body.decode())
            for _ in range(LIMIT):
                call = await stack.enter_async_context(tunnel_at(edge, 2, f"/ws/{place.name}/x"))
                await call.send(b"hello")
                assert await call.exactly(5) == b"hello"
            for wire in idle:
                assert await wire.end() == "eof"


# The window's scale is told once, at the handshake, and goes by the buffer of that moment: a peer sees it.
async def test_the_size_of_socket_buffers_goes_for_new_connections_of_both_legs(nursery: trio.Nursery) -> None:
    site = Site(pods=1)
    place = site.take()
    pod_scales = []

    async def pod(wire: Wire) -> None:
        pod_scales.append(announced_scale(wire))
        await wire.request()
        await wire.send(ok(b""))

    await raw_pod(nursery, place.address, place.port, pod)
    with running(site.toml(extra='[limits]\nsocket_buffer = "16KiB"\n'), site) as edge:
        for scale in (0, 2):
            async with dial(edge.address) as wire:
                await wire.send(request("GET", f"/http/{place.name}/"))
                assert (await wire.reply()).status == 200
                assert (announced_scale(wire), pod_scales[-1]) == (scale, scale)
            line = await edge.reload(site.toml(extra='[limits]\nsocket_buffer = "128KiB"\n'))
            assert line["event"] == "reload"


def announced_scale(wire: Wire) -> int:
    """That of the other side's window: tcpi_snd_wscale of struct tcp_info in <linux/tcp.h>."""
    return wire.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[6] & 15


async def test_a_flood_of_connections_leaves_the_live_ones_alone(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    statuses: list[bytes] = []

    async def knock() -> None:
        async with dial(edge.address) as wire:
            with contextlib.suppress(trio.BrokenResourceError, EndOfStream):
                await wire.send(handshake(f"/ws/{place.name}/x"))
                statuses.append((await wire.head()).split(b" ")[1])
                if statuses[-1] == b"101":
                    await trio.sleep(0.3)

    async with tunnel(edge, f"/ws/{place.name}/x") as call, trio.open_nursery() as flood:
        for _ in range(400):
            flood.start_soon(knock)
        for _ in range(20):
            await call.send(b"x" * 160)
            assert await call.exactly(160) == b"x" * 160
            await trio.sleep(0.01)
    assert set(statuses) == {b"101", b"503"}
    assert statuses.count(b"101") >= LIMIT // 2


async def flood(edge: Edge, stack: AsyncExitStack) -> None:
    """More connections than there are descriptors, none of which is idle: each has begun a request."""
    for _ in range(DESCRIPTORS * 2):
        await (await stack.enter_async_context(dial(edge.address))).send(b"G")


async def test_without_descriptors_live_calls_go_on_and_all_recovers(poor_edge: Edge, nursery: trio.Nursery) -> None:
    edge = poor_edge
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    at_rest = edge.descriptors("socket")
    async with tunnel(edge, f"/ws/{place.name}/live") as call:
        await call.send(b"hello")
        await call.exactly(5)
        async with AsyncExitStack() as stack:
            await flood(edge, stack)
            await edge.line("accept_backs_off")
            assert edge.descriptors() == DESCRIPTORS
            used, began = edge.cpu_seconds(), trio.current_time()
            for n in range(20):
                await call.send(b"frame %03d" % n)
                assert await call.exactly(9) == b"frame %03d" % n
                await trio.sleep(0.03)
            used, took = edge.cpu_seconds() - used, trio.current_time() - began
            assert used < took / 4, "accept does not back off"
        # The flood is gone.
        reply = await ask(edge.address, "GET", "/health")
        assert reply.status == 200
        await call.send(b"again")
        assert await call.exactly(5) == b"again"
    async with tunnel(edge, f"/ws/{place.name}/after") as call:
        await call.send(b"hello")
        assert await call.exactly(5) == b"hello"
    await edge.comes_to_rest(at_rest)


@pytest.mark.parametrize("head", ["60s"])
async def test_without_descriptors_a_slow_reader_holds_up_no_other_call(poor_edge: Edge, nursery: trio.Nursery) -> None:
    """It has the only pipe, and accept takes every descriptor that another one would need."""
    edge = poor_edge
    place, bulk = edge.site.take(), edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    pouring = trio.Event()

    async def pour(wire: Wire) -> None:
        await wire.exactly(2)
        with trio.move_on_after(1.0):
            await wire.send(bytes(64 * 1024 * 1024))
        pouring.set()
        await wire.end()

    await tunnel_pod(nursery, bulk.address, bulk.port, pour)
    async with (
        tunnel(edge, f"/ws/{place.name}/live") as call,
        tunnel(edge, f"/ws/{bulk.name}/slow", window=4096) as slow,
        AsyncExitStack() as stack,
    ):
        await call.send(b"hello")
        await call.exactly(5)
        await flood(edge, stack)
        await edge.line("accept_backs_off")
        await slow.send(b"go")
        await pouring.wait()
        assert edge.descriptors() == DESCRIPTORS
        for n in range(20):
            await call.send(b"frame %03d" % n)
            assert await call.exactly(9) == b"frame %03d" % n


@pytest.mark.parametrize("head", ["60s"])
async def test_without_descriptors_a_reload_ends_no_call(poor_edge: Edge, nursery: trio.Nursery) -> None:
    """The new text comes to the worker as a descriptor."""
    edge = poor_edge
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/ws/{place.name}/live") as call:
        async with AsyncExitStack() as stack:
            await flood(edge, stack)
            await edge.line("accept_backs_off")
            edge.signal(signal.SIGHUP)
            await edge.line(("reload", "reload_failed"))
            await call.send(b"hello")
            assert await call.exactly(5) == b"hello"
        await until(lambda: edge.descriptors() < DESCRIPTORS)
        assert (await edge.reload(edge.site.toml() + "#"))["event"] == "reload"
        await call.send(b"again")
        assert await call.exactly(5) == b"again"


async def test_without_descriptors_for_pods_the_answer_is_503(poor_edge: Edge, nursery: trio.Nursery) -> None:
    """Each waits for its pod with two descriptors, so that they run out on the way to a pod."""
    edge = poor_edge
    place, other = edge.site.take(), edge.site.take()
    await http_pod(nursery, other.address, other.port)
    await tunnel_pod(nursery, place.address, place.port)
    async with AsyncExitStack() as stack:
        room = DESCRIPTORS - edge.descriptors()
        wires = [await stack.enter_async_context(dial(edge.address)) for _ in range(room - 1)]
        await until(lambda: edge.descriptors() >= DESCRIPTORS - 1)
        statuses = []
        for wire in wires[: room // 2]:
            await wire.send(handshake(f"/ws/{place.name}/x"))
            with contextlib.suppress(EndOfStream, trio.BrokenResourceError):
                statuses.append((await wire.head()).split(b" ")[1])
        assert set(statuses) <= {b"101", b"503"}
        assert b"503" in statuses
    await ask_until(edge.address, f"/http/{other.name}/", lambda reply: reply.status == 200)


async def test_without_descriptors_idle_connections_make_room_for_calls(poor_edge: Edge, nursery: trio.Nursery) -> None:
    edge = poor_edge
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with AsyncExitStack() as stack:
        room = DESCRIPTORS - edge.descriptors()
        idle = []
        for _ in range(room):
            wire = await stack.enter_async_context(dial(edge.address))
            await wire.send(request("GET", "/health"))
            assert (await wire.reply()).status == 200
            idle.append(wire)
        assert edge.descriptors() == DESCRIPTORS
        for _ in range(5):
            call = await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/x"))
            await call.send(b"hello")
            assert await call.exactly(5) == b"hello"
        assert await idle[0].end() == "eof"
        await idle[-1].send(request("GET", "/health"))
        assert (await idle[-1].reply()).status == 200
        assert not edge.find("accept_backs_off")
