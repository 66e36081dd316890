"""Every deadline ends what it is for, and the log says which one it was."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, Line, running
from tests.kit.pods import echo, http_pod, raw_pod, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import Wire, ask, dial, request, until

SHORT = "500ms"
KINDS = ("connect", "handshake", "attempts", "response", "response_idle", "idle", "half_closed", "lifetime")


def route(kind: str) -> str:
    """A route whose only short deadline is this one."""
    return f"""
[[routes]]
name = "{kind}"
regex = '^/{kind}/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
rewrite = "{{rest}}"
deadlines = {{ {kind} = "{SHORT}" }}
"""


LONG = "\n".join(f'{kind} = "1h"' for kind in (*KINDS, "resolve")) + f'\nhead = "{SHORT}"\nkeepalive = "{SHORT}"\n'


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml("".join(map(route, KINDS)), deadlines=LONG), site) as edge:
        yield edge


async def silent(wire: Wire) -> None:
    await wire.end()


async def ended(edge: Edge, event: str, place: Place, kind: str) -> Line:
    line = await edge.line(event, path=f"/{kind}/{place.name}/x")
    assert line["closed_by"] == "proxy"
    return line


async def test_a_head_that_drips_is_cut_though_each_byte_is_quick(edge: Edge) -> None:
    async with dial(edge.address) as wire, trio.open_nursery() as nursery:

        async def drip() -> None:
            head = request("GET", "/health", "X-Filler: " + "x" * 500)
            for byte in head:
                try:
                    await wire.stream.send_all(bytes([byte]))
                except trio.BrokenResourceError:
                    return
                await trio.sleep(0.05)
            raise AssertionError("the whole head was taken")

        nursery.start_soon(drip)
        reply = await wire.reply()
        assert reply.status == 408
        assert reply.values("Connection") == [b"close"]
        nursery.cancel_scope.cancel()
    assert (await edge.line("exchange", status=408))["reason"] == "head_deadline"


async def test_a_connection_without_any_request_is_ended(edge: Edge) -> None:
    async with dial(edge.address) as wire:
        assert await wire.end() in ("eof", "reset")


async def test_an_idle_connection_between_requests_is_closed_in_silence(edge: Edge) -> None:
    async with dial(edge.address) as wire:
        for _ in range(3):
            await wire.send(request("GET", "/health"))
            assert (await wire.reply()).status == 200
        assert await wire.rest() == b""


async def test_a_slow_second_head_on_a_kept_connection_is_cut_too(edge: Edge) -> None:
    async with dial(edge.address) as wire:
        await wire.send(request("GET", "/health"))
        await wire.reply()
        await wire.send(b"GET /health HTTP/1.1\r\nHost:")
        assert (await wire.reply()).status == 408


async def test_connect(edge: Edge) -> None:
    place = edge.site.take()
    with ExitStack() as sockets, socket.socket() as full:
        full.bind((place.address, place.port))
        full.listen(0)
        for _ in range(3):  # a full queue lets no handshake of TCP come to its end
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((place.address, place.port))
        assert (await ask(edge.address, "GET", f"/connect/{place.name}/x")).status == 504
    assert (await ended(edge, "exchange", place, "connect"))["reason"] == "connect_deadline"


@pytest.mark.parametrize(
    ("kind", "upgrade"),
    [("handshake", False), ("handshake", True), ("attempts", False), ("attempts", True), ("response", False)],
)
async def test_a_silent_pod(edge: Edge, nursery: trio.Nursery, kind: str, upgrade: bool) -> None:
    place = edge.site.take()
    await raw_pod(nursery, place.address, place.port, silent)
    async with dial(edge.address) as wire:
        target = f"/{kind}/{place.name}/x"
        await wire.send(handshake(target) if upgrade else request("GET", target))
        assert (await wire.reply()).status == 504
    line = await ended(edge, "exchange", place, kind)
    assert (line["status"], line["reason"]) == (504, f"{kind}_deadline")


async def test_a_pod_whose_head_drips_is_cut(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def drip(wire: Wire) -> None:
        await wire.head()
        for byte in b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 500:
            await wire.send(bytes([byte]))
            await trio.sleep(0.05)

    await raw_pod(nursery, place.address, place.port, drip)
    assert (await ask(edge.address, "GET", f"/handshake/{place.name}/x")).status == 504


async def test_an_exchange_that_takes_too_long_is_cut(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    ends: list[str] = []

    async def endless(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                await wire.send(b"1\r\nx\r\n")
                await trio.sleep(0.02)
        except trio.BrokenResourceError:
            ends.append("gone")

    await raw_pod(nursery, place.address, place.port, endless)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/response/{place.name}/x"))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        with suppress(trio.BrokenResourceError):
            assert not (await wire.rest()).endswith(b"0\r\n\r\n")
    await until(lambda: ends)
    assert (await ended(edge, "exchange", place, "response"))["reason"] == "response_deadline"


async def test_an_answer_that_stops_is_cut(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def stopping(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await wire.end()

    await raw_pod(nursery, place.address, place.port, stopping)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/response_idle/{place.name}/x"))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        with suppress(trio.BrokenResourceError):
            assert await wire.rest() == b"1\r\nx\r\n"
    assert (await ended(edge, "exchange", place, "response_idle"))["reason"] == "response_idle_deadline"


async def test_a_body_that_does_not_come_is_408(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request("POST", f"/response/{place.name}/x", "Content-Length: 10") + b"half")
        assert (await wire.reply()).status == 408


async def test_a_body_may_take_longer_than_the_handshake(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request("POST", f"/handshake/{place.name}/x", "Content-Length: 8"))
        for _ in range(8):
            await wire.send(b"x")
            await trio.sleep(0.1)
        assert (await wire.reply()).status == 200


async def test_idle(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    ends: list[str] = []

    async def wait(wire: Wire) -> None:
        await wire.exactly(10)
        ends.append(await wire.end())

    await tunnel_pod(nursery, place.address, place.port, wait)
    async with tunnel(edge, f"/idle/{place.name}/x") as wire:
        for _ in range(10):  # together longer than the deadline
            await wire.send(b"x")
            await trio.sleep(0.08)
        assert await wire.end() == "eof"
    await until(lambda: ends)
    assert (await ended(edge, "tunnel_close", place, "idle"))["reason"] == "idle"


@pytest.mark.parametrize("first", ["client", "pod"])
async def test_half_closed(edge: Edge, nursery: trio.Nursery, first: str) -> None:
    place = edge.site.take()
    leaving = trio.Event()

    async def hang_on(wire: Wire) -> None:
        if first == "pod":
            await wire.send_eof()
        await leaving.wait()

    await tunnel_pod(nursery, place.address, place.port, hang_on)
    async with tunnel(edge, f"/half_closed/{place.name}/x") as wire:
        if first == "client":
            await wire.send_eof()
        assert (await ended(edge, "tunnel_close", place, "half_closed"))["reason"] == "half_closed"
    leaving.set()


async def test_lifetime(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port, echo)
    async with tunnel(edge, f"/lifetime/{place.name}/x") as wire:
        with trio.fail_after(10):
            try:
                while True:
                    await wire.send(b"busy")
                    await wire.exactly(4)
            except Exception as error:  # noqa: BLE001 - however a busy tunnel is cut
                assert not isinstance(error, trio.TooSlowError)  # noqa: PT017
    assert (await ended(edge, "tunnel_close", place, "lifetime"))["reason"] == "lifetime"


async def test_a_tunnel_is_under_no_deadline_of_its_handshake(edge: Edge, nursery: trio.Nursery) -> None:
    async def outlive(kind: str) -> None:
        place = edge.site.take()
        await tunnel_pod(nursery, place.address, place.port, echo)
        async with tunnel(edge, f"/{kind}/{place.name}/x") as wire:
            await trio.sleep(0.7)
            await wire.send(b"alive")
            assert await wire.exactly(5) == b"alive"

    async with trio.open_nursery() as tunnels:
        for kind in ("connect", "handshake", "attempts", "response", "response_idle", "half_closed"):
            tunnels.start_soon(outlive, kind)
