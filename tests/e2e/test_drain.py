"""SIGTERM drains, a second one stops; the listener is open to the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.pods import raw_pod, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, ask, dial, request, until


@pytest.fixture
def edge() -> Iterator[Edge]:
    site = Site(pods=2)
    with running(site.toml(), site) as edge:
        yield edge


async def test_calls_go_on_and_new_work_is_refused_until_they_end(edge: Edge, nursery: trio.Nursery) -> None:
    place, slow = edge.site.take(), edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    go_on = trio.Event()

    async def in_two_parts(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        await go_on.wait()
        await wire.send(b"later")

    await raw_pod(nursery, slow.address, slow.port, in_two_parts)
    async with (
        tunnel(edge, f"/ws/{place.name}/long") as call,
        dial(edge.address) as exchange,
        dial(edge.address) as kept,
    ):
        await exchange.send(request("GET", f"/http/{slow.name}/"))
        await exchange.until(b"first")
        await kept.send(request("GET", "/ready"))
        assert (await kept.reply()).body == b"ready\n"
        edge.signal(signal.SIGTERM)
        await edge.line("drain")

        ready = await ask(edge.address, "GET", "/ready")
        assert (ready.status, ready.body) == (503, b"draining\n")
        assert (await ask(edge.address, "GET", "/health")).status == 200
        for target in (f"/ws/{place.name}/x", f"/http/{place.name}/x"):
            async with dial(edge.address) as wire:
                await wire.send(handshake(target))
                reply = await wire.reply()
                assert reply.status == 503
                assert len(reply.values("Retry-After")) == 1
                assert reply.values("Connection") == [b"close"]
                assert await wire.rest() == b""
        await kept.send(request("GET", f"/http/{place.name}/x"))
        reply = await kept.reply()
        assert (reply.status, reply.values("Connection")) == (503, [b"close"])

        go_on.set()
        assert await exchange.exactly(5) == b"later"
        for _ in range(3):
            await call.send(b"still here")
            assert await call.exactly(10) == b"still here"
        assert edge.process.poll() is None
        assert (await ask(edge.address, "GET", "/ready")).body == b"draining\n"
        await call.send_eof()
        assert await call.rest() == b""
    assert await edge.exit_code() == 0
    line = await edge.line("tunnel_close", route="ws")
    assert (line["closed_by"], line["reason"], line["bytes_to_pod"]) == ("client", "eof", 30)


async def test_a_reload_during_a_drain_does_not_end_it(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        await edge.reload(edge.site.toml() + "\n#")
        assert (await ask(edge.address, "GET", "/ready")).status == 503
        await call.send(b"hello")
        assert await call.exactly(5) == b"hello"
    assert await edge.exit_code() == 0


async def test_an_edge_without_calls_ends_at_once(edge: Edge) -> None:
    async with dial(edge.address) as idle:
        await idle.send(request("GET", "/health"))
        await idle.reply()
        edge.signal(signal.SIGTERM)
        assert await idle.rest() == b""
    assert await edge.exit_code() == 0
    assert edge.find("stopped")


async def test_a_handshake_under_way_is_completed(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    go_on = trio.Event()

    async def slow(wire: Wire) -> None:
        await wire.head()
        await go_on.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    pod = await raw_pod(nursery, place.address, place.port, slow)
    async with dial(edge.address) as wire:
        await wire.send(request("POST", f"/http/{place.name}/", body=b"x"))
        await until(lambda: pod.connections)
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        go_on.set()
        reply = await wire.reply()
        assert (reply.body, reply.values("Connection")) == (b"done", [b"close"])
    assert await edge.exit_code() == 0


async def test_the_drain_deadline_ends_what_is_left(nursery: trio.Nursery) -> None:
    site = Site(pods=2)
    place = site.take()
    ends: list[str] = []

    async def wait(wire: Wire) -> None:
        ends.append(await wire.end())

    await tunnel_pod(nursery, place.address, place.port, wait)
    with running(site.toml(deadlines='drain = "500ms"'), site) as edge:
        async with tunnel(edge, f"/ws/{place.name}/x") as call:
            edge.signal(signal.SIGTERM)
            await edge.line("drain")
            await call.send(b"hello")
            assert await call.end() in ("eof", "reset")
        assert await edge.exit_code() == 0
        line = await edge.line("tunnel_close", route="ws")
        assert (line["closed_by"], line["reason"]) == ("proxy", "drain")
    await until(lambda: ends)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_stops_at_once(edge: Edge, nursery: trio.Nursery, second: signal.Signals) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        edge.signal(second)
        assert await call.end() in ("eof", "reset")
        assert await edge.exit_code() == 0
    line = await edge.line("tunnel_close", route="ws")
    assert line["closed_by"] == "proxy"


async def test_sigint_stops_at_once(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    ends: list[str] = []

    async def silent(wire: Wire) -> None:
        await wire.head()
        ends.append(await wire.end())

    await raw_pod(nursery, place.address, place.port, silent)
    async with dial(edge.address) as wire, dial(edge.address) as half:
        await wire.send(request("GET", f"/http/{place.name}/x"))
        await half.send(b"GET / HT")
        await trio.sleep(0.05)
        edge.signal(signal.SIGINT)
        assert await wire.end() in ("eof", "reset")
        assert await edge.exit_code() == 0
    await until(lambda: ends)
    line = await edge.line("exchange", route="http")
    assert line["closed_by"] == "proxy"
    assert edge.find("stopped")


async def test_clients_that_are_refused_do_not_make_a_drain_last(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with dial(edge.address) as lingering:
        async with tunnel(edge, f"/ws/{place.name}/x"):
            edge.signal(signal.SIGTERM)
            await edge.line("drain")
            await lingering.send(request("POST", f"/http/{place.name}/x", "Content-Length: 5"))
            assert (await lingering.reply()).status == 503  # ... and keeps its end open
        with trio.fail_after(3):  # lingering takes longer
            assert await edge.exit_code() == 0


async def test_a_file_that_can_not_be_read_keeps_no_signal_waiting(edge: Edge) -> None:
    edge.path.unlink()
    os.mkfifo(edge.path)
    edge.signal(signal.SIGHUP)
    await trio.sleep(0.2)
    edge.signal(signal.SIGINT)
    assert await edge.exit_code() == 0
