"""Clients that come by TLS: their calls outlive workers, and end as plain ones do."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Iterator
from random import Random

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker
from tests.kit.pods import http_pod, raw_pod, switching, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.tls import NAME, Certificates, TlsWire, ask_tls, dial_tls, tls_pids, tls_site, tls_tunnel
from tests.kit.wire import Wire, request, until
from tests.kit.workers import kill_and_see, worker_pids

_FRAMES = 200
_ADOPTED = pytest.mark.parametrize("adopted", [False, pytest.param(True, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def client(certificates: Certificates) -> ssl.SSLContext:
    return certificates.client()


@pytest.fixture(scope="module")
def edge(certificates: Certificates) -> Iterator[Edge]:
    site = Site()
    with running(tls_site(site, [certificates.folder("edge", NAME)]), site) as edge:
        yield edge


class PodEnd:
    """A pod that does nothing by itself."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.wire: Wire | None = None
        self.over = trio.Event()

    async def take(self, wire: Wire) -> None:
        self.wire = wire
        await self.over.wait()

    async def end(self) -> Wire:
        await until(lambda: self.wire is not None)
        assert self.wire is not None
        return self.wire


@pytest.fixture
async def pod(edge: Edge, nursery: trio.Nursery) -> PodEnd:
    pod = PodEnd(edge.site.take())
    await tunnel_pod(nursery, pod.place.address, pod.place.port, pod.take)
    return pod


# ---- what a client gets ----


async def test_a_request(edge: Edge, client: ssl.SSLContext, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    answer = await ask_tls(edge, client, f"/http/{place.name}/x", "X-Forwarded-Proto: http")
    assert answer.body == place.address.encode()
    assert pod.seen[0].values("X-Forwarded-Proto") == [b"https"]
    line = await edge.line("exchange", path=f"/http/{place.name}/x")
    assert (line["tls_version"], line["tls_sni"], line["tls_resumed"]) == ("TLSv1.3", NAME, False)
    assert line["tls_ms"] > 0


async def test_a_connection_is_kept_for_more_requests(edge: Edge, client: ssl.SSLContext) -> None:
    async with dial_tls(edge.address, client) as wire:
        for _ in range(3):
            await wire.send(request("GET", "/health"))
            assert (await wire.reply()).body == b"healthy\n"


async def test_no_protocol_but_http_1_1_is_agreed(edge: Edge, certificates: Certificates) -> None:
    context = certificates.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with dial_tls(edge.address, context) as wire:
        assert wire.tls.selected_alpn_protocol() == "http/1.1"


# ---- a call outlives its worker ----


async def test_a_killed_worker_loses_no_byte(edge: Edge, client: ssl.SSLContext, place: Place) -> None:
    data = Random(7).randbytes(2_000_000)
    async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as wire, trio.open_nursery() as nursery:

        async def send() -> None:
            for start in range(0, len(data), len(data) // _FRAMES):
                await wire.send(data[start : start + len(data) // _FRAMES])
                await trio.sleep(0.005)

        nursery.start_soon(send)
        for kills in range(1, 4):
            await wire_has(wire, kills * len(data) // 5)
            await kill_worker(edge)
        assert await wire.exactly(len(data)) == data
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["bytes_to_pod"], line["bytes_to_client"], line["adopted"]) == (len(data), len(data), 3)
    assert (line["closed_by"], line["tls_sni"]) == ("client", NAME)
    assert line["client_rtt_ms"] is not None


async def wire_has(wire: TlsWire, count: int) -> None:
    """Read until so many bytes are there; `exactly` returns them all later."""
    while len(wire.buffer) < count:
        wire.buffer += await wire.tls.receive_some(65536)


async def test_a_recycle_and_a_reload_interrupt_nothing(edge: Edge, client: ssl.SSLContext, place: Place) -> None:
    processes = tls_pids(edge)
    async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as wire:
        edge.signal(signal.SIGUSR1)
        await edge.line("recycled")
        await echoes(wire)
        edge.signal(signal.SIGHUP)
        await edge.line("reload")
        await echoes(wire)
    assert tls_pids(edge) == processes


async def test_an_idle_connection_goes_to_the_next_worker(edge: Edge, client: ssl.SSLContext) -> None:
    async with dial_tls(edge.address, client) as wire:
        await wire.send(request("GET", "/health"))
        await wire.reply()
        edge.signal(signal.SIGUSR1)
        await edge.line("recycled")
        edge.mark()
        await wire.send(request("GET", "/health"))
        assert (await wire.reply()).body == b"healthy\n"
        assert (await edge.line("exchange", path="/health"))["tls_sni"] == NAME


# ---- ends ----


async def closed(edge: Edge, pod: PodEnd) -> tuple[str, str]:
    line = await edge.line("tunnel_close", path=f"/ws/{pod.place.name}/x")
    return line["closed_by"], line["reason"]


@_ADOPTED
async def test_the_client_closes(edge: Edge, client: ssl.SSLContext, pod: PodEnd, *, adopted: bool) -> None:
    async with tls_tunnel(edge, client, f"/ws/{pod.place.name}/x") as wire:
        end = await pod.end()
        if adopted:
            await kill_worker(edge)
        await wire.send(b"the last")
        await wire.close()
        assert await end.rest() == b"the last"
        await end.close()
    assert await closed(edge, pod) == ("client", "eof")


@_ADOPTED
async def test_the_client_resets(edge: Edge, client: ssl.SSLContext, pod: PodEnd, *, adopted: bool) -> None:
    async with tls_tunnel(edge, client, f"/ws/{pod.place.name}/x") as wire:
        end = await pod.end()
        if adopted:
            await kill_worker(edge)
        wire.reset()
        assert await end.end() == "reset"
    assert await closed(edge, pod) == ("client", "reset")


@_ADOPTED
async def test_the_pod_closes(edge: Edge, client: ssl.SSLContext, pod: PodEnd, *, adopted: bool) -> None:
    async with tls_tunnel(edge, client, f"/ws/{pod.place.name}/x") as wire:
        end = await pod.end()
        if adopted:
            await kill_worker(edge)
        await end.send(b"the last")
        await end.close()
        assert await wire.rest() == b"the last"  # with close_notify: else this raises
        await wire.close()
    assert await closed(edge, pod) == ("pod", "eof")


@_ADOPTED
async def test_the_pod_resets(edge: Edge, client: ssl.SSLContext, pod: PodEnd, *, adopted: bool) -> None:
    async with tls_tunnel(edge, client, f"/ws/{pod.place.name}/x") as wire:
        end = await pod.end()
        if adopted:
            await kill_worker(edge)
        await end.send(bytes(100_000))
        await wire.exactly(100_000)
        end.reset()
        assert await wire.end() == "reset"
    assert await closed(edge, pod) == ("pod", "reset")


async def test_half_closed_by_the_pod_goes_on(edge: Edge, client: ssl.SSLContext, pod: PodEnd) -> None:
    async with tls_tunnel(edge, client, f"/ws/{pod.place.name}/x") as wire:
        end = await pod.end()
        await end.send(b"bye")
        await end.send_eof()
        assert await wire.rest() == b"bye"
    assert (await closed(edge, pod))[0] == "pod"


async def test_a_bad_record_ends_the_call(edge: Edge, client: ssl.SSLContext, pod: PodEnd) -> None:
    async with tls_tunnel(edge, client, f"/ws/{pod.place.name}/x") as wire:
        end = await pod.end()
        await wire.tls.transport_stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert await end.end() == "eof"
    assert await closed(edge, pod) == ("client", "tls_error")


async def test_a_slow_client_holds_back_its_pod(edge: Edge, client: ssl.SSLContext, pod: PodEnd, place: Place) -> None:
    """Neither the tls process nor the worker grows; other calls go on; and at last all bytes come."""
    size = 16 << 20
    async with tls_tunnel(edge, client, f"/ws/{pod.place.name}/x") as wire, trio.open_nursery() as nursery:
        end = await pod.end()
        [process] = tls_pids(edge)
        before = edge.memory(pid=process)
        nursery.start_soon(end.send, bytes(size))
        async with tls_tunnel(edge, client, f"/ws/{place.name}/y") as other:
            for _ in range(50):
                await echoes(other, bytes(160))
        assert edge.memory(pid=process) - before < 2 << 20
        assert await wire.exactly(size) == bytes(size)


# ---- a tls process dies ----


async def test_a_killed_tls_process_ends_its_calls(edge: Edge, client: ssl.SSLContext, pod: PodEnd) -> None:
    [process] = tls_pids(edge)
    async with tls_tunnel(edge, client, f"/ws/{pod.place.name}/x") as wire:
        end = await pod.end()
        await wire.send(b"what came")
        assert await end.exactly(9) == b"what came"
        await kill_and_see(process)
        assert await end.end() == "eof"
    await edge.expected(1, "tls_died", pid=process)
    assert await closed(edge, pod) == ("proxy", "tls_lost")
    assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"


async def test_both_die_at_once(edge: Edge, client: ssl.SSLContext, pod: PodEnd) -> None:
    await until(lambda: tls_pids(edge))
    [process] = tls_pids(edge)
    async with tls_tunnel(edge, client, f"/ws/{pod.place.name}/x"):
        end = await pod.end()
        [worker] = worker_pids(edge.pid).values()
        os.kill(worker, signal.SIGSTOP)  # else it may see the other's death, and die with the line of the call's end
        await kill_and_see(process)
        await kill_worker(edge)
        assert await end.end() == "eof"
    await edge.expected(1, "tls_died", pid=process)
    assert await closed(edge, pod) == ("proxy", "tls_lost")


async def test_a_pod_that_answers_at_once(edge: Edge, client: ssl.SSLContext, nursery: trio.Nursery) -> None:
    """Bytes that come with the 101 are counted once, after an adoption too."""
    place = edge.site.take()

    async def handle(wire: Wire) -> None:
        await wire.send(switching(await wire.head()) + b"x" * 1000)
        await wire.some()
        await wire.send(b"y" * 1000)

    await raw_pod(nursery, place.address, place.port, handle)
    async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as wire:
        await wire.exactly(1000)
        await kill_worker(edge)
        await wire.send(b"go on")
        assert await wire.rest() == b"y" * 1000
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["bytes_to_pod"], line["bytes_to_client"]) == (5, 2000)
