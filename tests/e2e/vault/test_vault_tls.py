"""`splicer vault --tls` has the tls processes: calls over TLS outlive all of `splicer run`."""

from __future__ import annotations

import json
import signal
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import trio

from tests.e2e.vault.test_vault_next_run import next_life
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker
from tests.kit.site import Place, Site
from tests.kit.tls import NAME, Certificates, ask_tls, tls_pids, tls_site, tls_tunnel
from tests.kit.vaults import Vault, vault_at
from tests.kit.wire import TIMEOUT, EndOfStream, until
from tests.kit.workers import kill_and_see

_OTHER = "other.test"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def client(certificates: Certificates) -> ssl.SSLContext:
    return certificates.client()


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with vault_at(tmp_path / "vault.sock", tls=True) as vault:
        yield vault


@pytest.fixture
def secret(certificates: Certificates, tmp_path: Path) -> Path:
    return certificates.secret(tmp_path.name, NAME)


@pytest.fixture
def edge(vault: Vault, site: Site, secret: Path) -> Iterator[Edge]:
    text = tls_site(site, [secret]).replace('admin = "off"', 'admin = "off"\nworkers = 2')
    with running(text, site, options=("--vault", str(vault.path))) as edge:
        yield edge


async def until_served(edge: Edge, client: ssl.SSLContext, name: str) -> None:
    """Each tls process looks at the files by itself, once a second."""
    with trio.fail_after(TIMEOUT):
        good = 0
        while good < 10:
            try:
                good += (await ask_tls(edge, client, "/health", name=name)).body == b"healthy\n"
            except trio.BrokenResourceError:
                good = 0
                await trio.sleep(0.1)


async def test_all_of_the_edge_is_killed(
    vault: Vault, edge: Edge, client: ssl.SSLContext, place: Place, certificates: Certificates, secret: Path
) -> None:
    assert not tls_pids(edge)
    processes = vault.tls_pids
    assert len(processes) == 2
    async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as call:
        await echoes(call)
        edge.kill()
        await call.send(b"anybody?")
        async with next_life(vault, edge) as other:
            assert vault.tls_pids == processes
            assert await call.exactly(8) == b"anybody?"
            await kill_worker(other, 1)
            await echoes(call)
            assert (await ask_tls(other, client, "/health")).body == b"healthy\n"

            certificates.renew(secret, NAME, _OTHER)
            await until_served(other, client, _OTHER)
            await echoes(call)
            await call.close()
            line = await other.line("tunnel_close", path=f"/ws/{place.name}/x")
            assert (line["bytes_to_pod"], line["bytes_to_client"]) == (23, 23)
            assert (line["closed_by"], line["reason"], line["tls_sni"]) == ("client", "eof", NAME)


async def test_faults_of_the_vaults_files(
    vault: Vault, edge: Edge, client: ssl.SSLContext, certificates: Certificates, secret: Path
) -> None:
    """They are told to who asks for a reload, with the file; a Secret that turns bad leaves the old one in use."""
    missing = certificates.directory / "not-there"
    text = edge.path.read_text()
    assert (await edge.reload(text.replace(f'"{secret}"', f'"{secret}", "{missing}"')))["event"] == "reload_failed"
    assert f"{missing}: No such file" in edge.find("reload_fault")[0]["fault"]
    assert (await edge.reload(text))["event"] == "reload"

    certificates.renew(secret, NAME)
    key = secret / "tls.key"
    key.write_text("-----BEGIN PRIVATE KEY-----\nxyzzy\n-----END PRIVATE KEY-----\n")
    line = await vault.line("certificate_not_used")
    assert str(secret) in line["fault"]
    assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"
    assert "xyzzy" not in json.dumps([vault.lines, edge.lines])
    certificates.renew(secret, NAME, _OTHER)
    await until_served(edge, client, _OTHER)


@pytest.mark.slow
async def test_a_tls_process_is_killed(vault: Vault, edge: Edge, client: ssl.SSLContext, place: Place) -> None:
    """Exactly its calls end; another serves at once, and a new one comes."""
    async with AsyncExitStack() as stack:
        calls = {
            number: await stack.enter_async_context(tls_tunnel(edge, client, f"/ws/{place.name}/{number}"))
            for number in range(8)
        }
        victim, other = vault.tls_pids
        await kill_and_see(victim)
        lost = set()
        for number, call in calls.items():
            with suppress(trio.BrokenResourceError, EndOfStream, AssertionError):
                await echoes(call)
                continue
            lost.add(f"/ws/{place.name}/{number}")
        assert 0 < len(lost) < len(calls)
        closed = await edge.wait_lines(len(lost), "tunnel_close", reason="tls_lost")
        assert {line["path"] for line in closed} == lost
        assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"
        await vault.line("tls_died", pid=victim, reason="SIGKILL")
        await until(lambda: len(vault.tls_pids) == 2)
        assert other in vault.tls_pids
        for _ in range(4):
            assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"
    vault.take("tls_died")


@pytest.mark.slow
async def test_an_upgrade_begins_new_processes(vault: Vault, edge: Edge, client: ssl.SSLContext, place: Place) -> None:
    old = set(vault.tls_pids)
    async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as call:
        await echoes(call)
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        await echoes(call)
        await until(lambda: len(set(vault.tls_pids) - old) == 2 and len(set(vault.tls_pids) & old) == 1)
        assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"
        for slot in (1, 2):
            await kill_worker(edge, slot)
        await echoes(call)
    await until(lambda: not set(vault.tls_pids) & old)
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["bytes_to_pod"], line["bytes_to_client"], line["closed_by"]) == (15, 15, "client")


@pytest.mark.slow
async def test_the_vault_is_killed(vault: Vault, edge: Edge, client: ssl.SSLContext, place: Place) -> None:
    """Outside of a container its tls processes outlive it, until their last call; the next vault has others."""
    old = set(vault.tls_pids)
    async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as call:
        await echoes(call)
        vault.kill()
        await edge.line("vault_tls_lost")
        await echoes(call)
        await trio.to_thread.run_sync(vault.start)
        await edge.wait_lines(2, "vault_tls_connected")
        await until(lambda: len(set(vault.tls_pids) - old) == 2)
        assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"
        await echoes(call)
        for slot in (1, 2):
            await kill_worker(edge, slot)
        await echoes(call)
    await until(lambda: not set(vault.tls_pids) & old)
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["bytes_to_pod"], line["bytes_to_client"], line["closed_by"]) == (20, 20, "client")


@pytest.mark.slow
async def test_a_vault_without_tls(tmp_path: Path, site: Site, secret: Path, client: ssl.SSLContext) -> None:
    """The edge has the tls processes itself, and says what that means; a start anew finds the vault that has them."""
    text = tls_site(site, [secret])
    path = tmp_path / "plain.sock"
    with vault_at(path) as vault, running(text, site, options=("--vault", str(path))) as edge:
        assert "--tls" in (await edge.line("tls_not_in_vault"))["remedy"]
        assert len(tls_pids(edge)) == 1
        assert not vault.tls_pids
        assert (await ask_tls(edge, client, "/health")).body == b"healthy\n"


@pytest.mark.slow
async def test_keys_that_only_the_vault_has(tmp_path: Path, site: Site, secret: Path) -> None:
    """An edge that starts without it says so in one line."""
    text = tls_site(site, [tmp_path / "elsewhere"])
    with pytest.raises(AssertionError, match="is away; if it has --tls, start it first"):
        running(text, site, options=("--vault", str(tmp_path / "nobody.sock"))).__enter__()
