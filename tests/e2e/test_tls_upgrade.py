"""An upgrade with calls over TLS: they stay in the old tls process until they end."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Iterator

import pytest
import trio

from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import echoes, kill_worker
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.tls import NAME, Certificates, ask_tls, tls_pids, tls_site, tls_tunnel
from tests.kit.wire import until
from tests.kit.workers import kill_and_see

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def client(certificates: Certificates) -> ssl.SSLContext:
    return certificates.client()


@pytest.fixture(scope="module")
def edge(certificates: Certificates) -> Iterator[Edge]:
    site = Site()
    text = tls_site(site, [certificates.folder("edge", NAME)])
    with running(text.replace('admin = "off"', 'admin = "off"\nworkers = 2'), site) as edge:
        yield edge


@pytest.fixture
async def place(edge: Edge, nursery: trio.Nursery) -> Place:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    return place


async def test_calls_stay_in_the_old_process(edge: Edge, client: ssl.SSLContext, place: Place) -> None:
    old = set(tls_pids(edge))
    assert len(old) == 2
    async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as wire:
        await echoes(wire)
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        await echoes(wire)
        await until(lambda: len(set(tls_pids(edge)) - old) == 2)
        await until(lambda: len(set(tls_pids(edge)) & old) == 1)  # the other one had no call
        assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"
        for slot in (1, 2):
            await kill_worker(edge, slot)
        await echoes(wire)
    await until(lambda: not set(tls_pids(edge)) & old)
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["bytes_to_pod"], line["bytes_to_client"], line["closed_by"]) == (15, 15, "client")


async def test_an_upgrade_with_a_broken_file_changes_nothing(
    edge: Edge, certificates: Certificates, client: ssl.SSLContext
) -> None:
    key = certificates.directory / "edge/tls.key"
    kept = key.read_bytes()
    key.write_bytes(b"")
    edge.signal(signal.SIGUSR2)
    await edge.line("upgrade_failed")
    assert str(key) in edge.find("upgrade_fault")[0]["fault"]
    key.write_bytes(kept)
    assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"


async def test_without_a_supervisor_calls_go_on(certificates: Certificates, client: ssl.SSLContext) -> None:
    """The vault was in the supervisor; worker and tls process end with their last call."""
    site = Site()
    place = site.take()
    with running(tls_site(site, [certificates.directory / "edge"]), site) as edge:
        async with trio.open_nursery() as nursery:
            await tunnel_pod(nursery, place.address, place.port)
            async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as wire:
                processes = tls_pids(edge)
                await kill_and_see(edge.pid)
                await echoes(wire)
            await until(lambda: not [pid for pid, _ in session_of(edge.pid) if pid in processes])
            nursery.cancel_scope.cancel()
        edge.killed = True
        for pid, _ in session_of(edge.pid):
            os.kill(pid, signal.SIGKILL)
        edge.lines[:] = [line for line in edge.lines if line["event"] != "supervisor_lost"]
