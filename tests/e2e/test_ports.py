"""Connections that are over keep no port here: a minute's webhooks would take them all (TIME_WAIT)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.pods import ok, raw_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, dial, request, until

_REQUESTS = 200
_ESTABLISHED, _TIME_WAIT = "01", "06"  # in <net/tcp_states.h>


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(), site) as edge:
        yield edge


def connections(address: str, port: int, state: str) -> int:
    """How many to this place have this state, seen from who dialled it."""
    far = "{:08X}:{:04X}".format(*(int.from_bytes(socket.inet_aton(address), "little"), port))
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(words[2] == far and words[3] == state for words in table)


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_no_port_is_kept(edge: Edge, nursery: trio.Nursery, method: str, closes: bool) -> None:
    place = edge.site.take()

    async def pod(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(ok(b"", *([b"Connection: close"] if closes else [])))
            if closes:
                return

    counted = await raw_pod(nursery, place.address, place.port, pod)
    async with dial(edge.address) as wire:
        for _ in range(_REQUESTS):
            await wire.send(request(method, f"/http/{place.name}/", body=b"x" if method == "POST" else b""))
            assert (await wire.reply()).status == 200
    assert counted.connections == (1 if method == "GET" and not closes else _REQUESTS)
    await until(lambda: connections(place.address, place.port, _ESTABLISHED) <= 1)  # one idles in the pool
    assert connections(place.address, place.port, _TIME_WAIT) == 0
