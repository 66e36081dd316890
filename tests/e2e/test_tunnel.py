"""A tunnel's bytes and its ends, seen through raw sockets."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge
from tests.kit.pods import echo, raw_pod, switching, tunnel_pod
from tests.kit.wire import Wire, dial, until

BIG = bytes(range(256)) * 1024  # 256 KiB


@pytest.fixture
def edge(plain_edge: Edge) -> Edge:
    return plain_edge


@pytest.mark.parametrize("early", [b"\x82\x05hello", BIG[:31_000], BIG], ids=["frame", "31 KB", "256 KB"])
async def test_frames_in_one_segment_with_the_101(edge: Edge, nursery: trio.Nursery, early: bytes) -> None:
    place = edge.site.take()

    async def hasty(wire: Wire) -> None:
        head = await wire.head()
        await wire.send(switching(head) + early)
        await echo(wire)

    await raw_pod(nursery, place.address, place.port, hasty)
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        assert await wire.exactly(len(early)) == early
        await wire.send(b"later")
        assert await wire.exactly(5) == b"later"


@pytest.mark.parametrize("early", [b"\x82\x85maskhello", BIG[:31_000], BIG], ids=["frame", "31 KB", "256 KB"])
async def test_frames_right_behind_the_request(edge: Edge, nursery: trio.Nursery, early: bytes) -> None:
    place = edge.site.take()
    before: list[bytes] = []

    async def patient(wire: Wire) -> None:
        head = await wire.head()
        await trio.sleep(0.1)
        before.append(bytes(wire.buffer))
        await wire.send(switching(head))
        await echo(wire)

    await raw_pod(nursery, place.address, place.port, patient)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/{place.name}/x") + early)
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        assert await wire.exactly(len(early)) == early
        await wire.send(b"later")
        assert await wire.exactly(5) == b"later"
    assert before == [b""], "no byte beyond the head before the 101"


async def test_early_bytes_both_ways_at_once(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def hasty(wire: Wire) -> None:
        head = await wire.head()
        await wire.send(switching(head) + b"pod first;")
        await echo(wire)

    await raw_pod(nursery, place.address, place.port, hasty)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/{place.name}/x") + b"client first;")
        await wire.send_eof()
        await wire.head()
        assert await wire.rest() == b"pod first;client first;"


async def test_a_client_that_hangs_up_half_still_hears_the_pod(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def answer_at_the_end(wire: Wire) -> None:
        everything = await wire.rest()
        await wire.send(BIG + everything)

    await tunnel_pod(nursery, place.address, place.port, answer_at_the_end)
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        await wire.send(b"question")
        await wire.send_eof()
        assert await wire.rest() == BIG + b"question"
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["closed_by"], line["reason"]) == ("client", "eof")


async def test_a_pod_that_hangs_up_half_still_hears_the_client(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    heard: list[bytes] = []

    async def leave_half(wire: Wire) -> None:
        await wire.send(BIG)
        await wire.send_eof()
        heard.append(await wire.rest())

    await tunnel_pod(nursery, place.address, place.port, leave_half)
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        assert await wire.rest() == BIG
        await wire.send(BIG)
        await wire.send(b"and more")
    await until(lambda: heard)
    assert heard == [BIG + b"and more"]
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["closed_by"], line["reason"]) == ("pod", "eof")


@pytest.mark.parametrize("closer", ["client", "pod"])
async def test_a_reset_is_passed_on_as_a_reset(edge: Edge, nursery: trio.Nursery, closer: str) -> None:
    place = edge.site.take()
    ends: list[str] = []

    async def take_part(wire: Wire) -> None:
        await wire.exactly(5)
        if closer == "pod":
            wire.reset()
        else:
            await wire.send(b"world")
            ends.append(await wire.end())

    await tunnel_pod(nursery, place.address, place.port, take_part)
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        await wire.send(b"hello")
        if closer == "pod":
            ends.append(await wire.end())
        else:
            await wire.exactly(5)
            wire.reset()
    await until(lambda: ends)
    assert ends == ["reset"]
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["closed_by"], line["reason"]) == (closer, "reset")


@pytest.mark.parametrize("slow", ["client", "pod"])
async def test_a_reader_that_stops_stops_the_writer(edge: Edge, nursery: trio.Nursery, slow: str) -> None:
    place = edge.site.take()
    go_on = trio.Event()
    pieces = 256  # 64 MiB: more than all buffers of the kernel together
    sent, got = 0, 0

    async def write(wire: Wire) -> None:
        nonlocal sent
        for _ in range(pieces):
            await wire.send(BIG)
            sent += 1
        await wire.send_eof()

    async def read(wire: Wire) -> None:
        nonlocal got
        await go_on.wait()
        while piece := await wire.some():
            assert piece == BIG[got % 256 :][: len(piece)]
            got += len(piece)

    await tunnel_pod(nursery, place.address, place.port, read if slow == "pod" else write)
    before = edge.memory()
    async with tunnel(edge, f"/ws/{place.name}/x", window=65536) as wire, trio.open_nursery() as both:
        both.start_soon(write if slow == "pod" else read, wire)
        last = -1
        while sent > last:
            last = sent
            await trio.sleep(0.3)
        assert sent < pieces
        assert edge.memory() < before + (2 << 20)
        async with tunnel(edge, f"/ws/{place.name}/other") as other:  # nobody else is stopped
            await other.send_eof() if slow == "pod" else await other.exactly(256)
        go_on.set()
        await until(lambda: got == pieces * len(BIG))


async def test_an_idle_tunnel_is_never_in_the_way_of_a_busy_one(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/ws/{place.name}/idle") as idle:
        async with tunnel(edge, f"/ws/{place.name}/busy") as busy:
            for _ in range(10):
                await busy.send(BIG)
                assert await busy.exactly(len(BIG)) == BIG
        await idle.send(b"still here")
        assert await idle.exactly(10) == b"still here"


async def test_both_legs_are_watched_by_keepalive(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        await wire.send(b"hello")
        await wire.exactly(5)
        client = wire.stream.socket.getsockname()
        for local, remote in ((edge.address, client), (None, (place.address, place.port))):
            await until(lambda ends=(local, remote): _is_probed_within_a_minute(*ends))  # type: ignore[misc]


_KEEPALIVE = 2  # Documentation/networking/proc_net_tcp.rst


def _is_probed_within_a_minute(local: tuple[str, int] | None, remote: tuple[str, int]) -> bool:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        kind, ticks = (int(word, 16) for word in words[5].split(":"))
        if words[2] == _hex(remote) and (local is None or words[1] == _hex(local)) and kind == _KEEPALIVE:
            return ticks <= 60 * os.sysconf("SC_CLK_TCK")
    return False


def _hex(address: tuple[str, int]) -> str:
    return f"{int.from_bytes(socket.inet_aton(address[0]), sys.byteorder):08X}:{address[1]:04X}"
