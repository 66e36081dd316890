"""After a storm nothing is left: no descriptor, no connection, no memory that grows, no crash."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import patched
from tests.kit.pods import http_pod, ok, raw_pod, switching, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import TIMEOUT, EndOfStream, Wire, dial, request

PIPES = 128  # descriptors that the relay may keep for the next calls


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(deadlines='head = "1s"\nhandshake = "1s"\nkeepalive = "1s"'), site) as edge:
        yield edge


async def one_call(edge: Edge, place: Place, chance: random.Random) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        for _ in range(chance.randint(0, 5)):
            frame = chance.randbytes(chance.randint(1, 5000))
            await wire.send(frame)
            assert await wire.exactly(len(frame)) == frame
        if chance.random() < 0.5:
            await wire.send_eof()
            assert await wire.rest() == b""
        elif chance.random() < 0.5:
            wire.reset()


async def one_request(edge: Edge, place: Place, chance: random.Random) -> None:
    async with dial(edge.address) as wire:
        for _ in range(chance.randint(1, 3)):
            await wire.send(request("POST", f"/http/{place.name}/", body=b"x" * chance.randint(1, 5000)))
            if chance.random() < 0.2:
                break
            assert (await wire.reply()).status == 200
        if chance.random() < 0.2:
            wire.reset()


async def one_refusal(edge: Edge, place: Place, chance: random.Random) -> None:
    targets = ["/nowhere", "/http/nobody/", f"/ws/{place.name}/../", "/ws1/nobody/"]
    async with dial(edge.address) as wire:
        head = handshake(chance.choice(targets))
        await wire.send(head if chance.random() < 0.7 else head[: chance.randint(1, len(head) - 1)])
        if chance.random() < 0.7:
            await wire.end()


async def one_failure(edge: Edge, place: Place, chance: random.Random) -> None:
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws1/{place.name}/") + chance.randbytes(chance.randint(0, 3000)))
        if chance.random() < 0.3:
            wire.reset()
        else:
            await wire.end()


async def test_after_a_storm_nothing_is_left(edge: Edge, nursery: trio.Nursery) -> None:
    calls, plain, nobody, bad = (edge.site.take() for _ in range(4))
    chance = random.Random(160)
    await tunnel_pod(nursery, calls.address, calls.port)
    await http_pod(nursery, plain.address, plain.port, ok(b"fine", b"Connection: close"))

    async def misbehave(wire: Wire) -> None:
        head = await wire.head()
        await wire.send(chance.choice([b"", b"junk\r\n\r\n", switching(head), switching(head) + b"x" * 9999]))
        if chance.random() < 0.5:
            wire.reset()

    await raw_pod(nursery, bad.address, bad.port, misbehave)
    before, others = edge.descriptors("socket"), _others(edge)
    kinds = [(one_call, calls), (one_request, plain), (one_refusal, calls), (one_failure, bad), (one_failure, nobody)]
    slots = trio.CapacityLimiter(50)

    async def one(number: int) -> None:
        kind, place = kinds[number % len(kinds)]
        async with slots:
            with contextlib.suppress(trio.BrokenResourceError, EndOfStream):
                await kind(edge, place, random.Random(number))

    async with trio.open_nursery() as storm:
        for number in range(600):
            storm.start_soon(one, number)
    await edge.comes_to_rest(before)
    assert _others(edge) == others
    assert edge.descriptors("pipe") <= PIPES
    opened, closed = len(edge.find("tunnel_open")), len(edge.find("tunnel_close"))
    assert opened == closed > 120
    assert not edge.find("crash")


def _others(edge: Edge) -> int:
    return sum(not link.startswith(("socket", "pipe")) for link in edge.open_files())


async def test_calls_leave_no_memory_behind(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    sizes = []
    for _ in range(3):
        async with trio.open_nursery() as storm:
            for number in range(100):
                storm.start_soon(one_call, edge, place, random.Random(number))
        sizes.append(edge.memory())
    assert sizes[2] < sizes[1] + (1 << 20)


# Each exchange of this worker holds on to itself, and to much that no collection of young objects counts.
_CYCLE = """
from splicer.session import exchange
def begin(self, begin=exchange.Exchange.begin):
    self.record.attempts.append([self, [object() for _ in range(1000)]])
    return begin(self)
exchange.Exchange.begin = begin
"""


async def test_cycles_that_exchanges_leave_are_collected_all_the_same(nursery: trio.Nursery, tmp_path: Path) -> None:
    site = Site()
    place = site.take()
    await http_pod(nursery, place.address, place.port)
    with running(site.toml(), site, environ=patched(tmp_path, _CYCLE)) as edge:
        async with dial(edge.address) as wire:
            with trio.fail_after(TIMEOUT):
                while not edge.find("garbage_found"):
                    await wire.send(request("POST", f"/http/{place.name}/", body=b"x"))
                    assert (await wire.reply()).status == 200
        [found] = edge.find("garbage_found")
        assert found["objects"] > 100
