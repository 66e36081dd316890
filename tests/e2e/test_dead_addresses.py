"""A name of 32 addresses, of which 24 are dead: some refuse, the others drop every packet."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.e2e.dnsedge import dns_edge, get, start_dns
from tests.e2e.judged import judged_edge
from tests.kit.calls import handshake
from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge
from tests.kit.fleet import ask_at
from tests.kit.pods import http_pod, ok, tunnel_pod
from tests.kit.site import Place
from tests.kit.wire import dial, until


@pytest.fixture
def edge() -> Iterator[Edge]:
    """An edge that has not met any of the dead."""
    with dns_edge() as edge:
        yield edge


@pytest.fixture
async def dns(edge: Edge, nursery: trio.Nursery) -> DnsServer:
    return await start_dns(edge, nursery)


@pytest.fixture
def places(edge: Edge) -> Iterator[list[Place]]:
    """The first twelve drop packets, since their queues are full; nobody listens at the next; the last are for pods."""
    places = [edge.site.take() for _ in range(32)]
    with ExitStack() as sockets:
        for place in places[:12]:
            busy = sockets.enter_context(socket.socket())
            busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            busy.bind((place.address, place.port))
            busy.listen(0)
            sockets.enter_context(socket.create_connection((place.address, place.port)))
        yield places


async def test_every_call_reaches_a_pod_that_is_alive(
    edge: Edge, dns: DnsServer, places: list[Place], nursery: trio.Nursery
) -> None:
    pods = [await tunnel_pod(nursery, place.address, place.port) for place in places[24:]]
    dns.set("most-are-dead.dns.test", *(place.address for place in places))
    resting = edge.descriptors("socket")
    answers: list[int] = []

    async def call() -> None:
        async with dial(edge.address) as wire:
            await wire.send(handshake("/call/most-are-dead/x"))
            answers.append((await wire.reply()).status)

    for at_once in (4, 8, 16):
        async with trio.open_nursery() as callers:
            for _ in range(at_once):
                callers.start_soon(call)
    assert answers == [101] * 28
    seen = sum(len(pod.seen) for pod in pods)
    probed = sum(pod.connections for pod in pods) - seen
    assert (seen, probed) == (28, min(probed, 8)), "no more than one probe of each pod"
    lines = await edge.wait_lines(28, "tunnel_close")
    alive = {place.endpoint for place in places[24:]}
    for line in lines:
        assert line["endpoint"] in alive
        assert line["attempts"] == [{"upstream": "named", "endpoint": line["endpoint"], "failure": None}]
    await until(lambda: edge.descriptors("socket") == resting)


async def test_plain_requests_reach_them_too(
    edge: Edge, dns: DnsServer, places: list[Place], nursery: trio.Nursery
) -> None:
    for place in places[24:]:
        await http_pod(nursery, place.address, place.port)
    dns.set("most-are-dead.dns.test", *(place.address for place in places))
    alive = {place.address.encode() for place in places[24:]}
    for _ in range(40):
        assert (await get(edge, "most-are-dead")).body in alive


async def test_when_all_are_dead_the_log_names_one_and_says_why(
    edge: Edge, dns: DnsServer, places: list[Place]
) -> None:
    dns.set("all-are-dead.dns.test", *(place.address for place in places[:3]))
    assert (await get(edge, "all-are-dead")).status == 504
    line = await edge.line("exchange", path="/named/all-are-dead/")
    [attempt] = line["attempts"]
    assert attempt["failure"] == line["reason"] == "connect_deadline"
    assert attempt["endpoint"] in {place.endpoint for place in places[:3]}
    assert attempt["endpoint"] in attempt["detail"]


async def test_what_has_just_refused_one_worker_is_tried_last_by_the_other_and_never_left_out(
    nursery: trio.Nursery,
) -> None:
    with judged_edge(group='balance = "round-robin"', members=2, workers=2) as (edge, [dead, alive]):
        closing = b"Connection: close"  # a connection that is kept would be used, whatever the order is
        pod = await http_pod(nursery, alive.address, alive.port, ok(alive.address.encode(), closing))
        for _ in range(2):
            assert (await ask_at(edge, 1, "/group")).status == 200
        back = await http_pod(nursery, dead.address, dead.port, ok(dead.address.encode(), closing))
        for _ in range(4):
            assert (await ask_at(edge, 2, "/group")).body == alive.address.encode()
        assert back.connections == 0
        pod.stop()
        await wait_all_tasks_blocked()  # it no longer listens
        assert (await ask_at(edge, 2, "/group")).body == dead.address.encode()
