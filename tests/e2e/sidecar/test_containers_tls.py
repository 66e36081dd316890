"""TLS in the vault's container, which alone has the keys."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.containers import USER, Container, PodOfContainers
from tests.kit.fleet import echoes
from tests.kit.site import Place, Site, free_port
from tests.kit.tls import NAME, Certificates, ask_tls, tls_site, tls_tunnel
from tests.kit.wire import TIMEOUT, EndOfStream

pytestmark = pytest.mark.slow
_OTHER = "other.test"


@pytest.fixture
def certificates(pod: PodOfContainers) -> Certificates:
    directory = pod.etc.parent / "certs"
    directory.mkdir()
    return Certificates(directory)


@pytest.fixture
def secret(certificates: Certificates) -> Path:
    folder = certificates.secret("edge", NAME)
    owned(folder)
    return folder


def owned(folder: Path) -> None:
    """As `fsGroup` and `defaultMode: 0440` have it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            os.chown(path, 0, USER)
            path.chmod(0o750 if path.is_dir() else 0o440)


@pytest.fixture
def vault(pod: PodOfContainers) -> Iterator[Container]:
    with pod.run_vault("--tls") as vault:
        yield vault


@pytest.fixture
def edge(
    pod: PodOfContainers, vault: Container, site: Site, certificates: Certificates, secret: Path
) -> Iterator[Container]:
    admin = f'admin = "127.0.0.1:{free_port()}"'
    with pod.run_edge(tls_site(site, [secret]).replace('admin = "off"', admin), hidden=certificates.directory) as edge:
        yield edge


async def served(edge: Any, client: ssl.SSLContext, name: str = NAME) -> None:
    """A new connection is served, if not at once."""
    with trio.fail_after(TIMEOUT):
        while True:
            with suppress(trio.BrokenResourceError, EndOfStream):
                assert (await ask_tls(edge, client, "/health", name=name)).body == b"healthy\n"
                return
            await trio.sleep(0.1)


async def told(edge: Container, word: str) -> str:
    """What `splicer status` says, as soon as it has this word: the admin process may just have been started."""
    with trio.fail_after(TIMEOUT):
        while True:
            shown = (await trio.to_thread.run_sync(edge.execute, "status")).stdout
            if word in shown:
                return shown
            await trio.sleep(0.1)


async def test_the_edges_container_is_replaced(
    edge: Any, vault: Container, place: Place, certificates: Certificates, secret: Path
) -> None:
    client = certificates.client()
    async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as call:
        await echoes(call)
        await trio.to_thread.run_sync(edge.kill)
        await call.send(b"anybody?")
        await trio.to_thread.run_sync(edge.start)
        assert await call.exactly(8) == b"anybody?"
        await served(edge, client)
        certificates.renew(secret, NAME, _OTHER)
        owned(secret)
        await served(edge, client, _OTHER)
        upgraded = await trio.to_thread.run_sync(edge.execute, "upgrade")
        assert (upgraded.returncode, upgraded.stderr) == (0, "")
        await served(edge, client, _OTHER)
        await echoes(call)
    line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
    assert (line["bytes_to_pod"], line["bytes_to_client"], line["closed_by"]) == (18, 18, "client")
    status = await told(edge, _OTHER)
    assert "PRIVATE" not in json.dumps([edge.lines, vault.lines, status])


async def test_the_vaults_container_ends(
    edge: Any, vault: Container, place: Place, certificates: Certificates, secret: Path
) -> None:
    """Its tls processes end with it, and so do their calls; it is told so, and the next one serves."""
    client = certificates.client()
    async with tls_tunnel(edge, client, f"/ws/{place.name}/x") as call:
        await echoes(call)
        await trio.to_thread.run_sync(vault.kill)
        line = await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
        assert (line["closed_by"], line["reason"]) == ("proxy", "tls_lost")
        await edge.line("vault_tls_lost")
        await trio.to_thread.run_sync(vault.start)
        await served(edge, client)
    assert not edge.noise


async def test_a_key_that_the_vaults_user_may_not_read(
    edge: Any, pod: PodOfContainers, vault: Container, certificates: Certificates
) -> None:
    closed = certificates.folder("closed", NAME)
    path = pod.etc / "routing.toml"
    text = path.read_text()
    (closed / "tls.key").chmod(0o600)
    path.write_text(text.replace("certificates = [", f'certificates = ["{closed}", '))
    reloaded = await trio.to_thread.run_sync(edge.execute, "reload")
    assert reloaded.returncode == 1
    assert f"{closed}/tls.key: Permission denied" in reloaded.stderr
    await served(edge, certificates.client())


async def test_a_secret_that_turns_bad(edge: Any, vault: Container, certificates: Certificates, secret: Path) -> None:
    """It is told on the page that alerts come from; what was there before serves on."""
    certificates.renew(secret, NAME)
    owned(secret)
    (secret / "..data/tls.key").unlink()
    await vault.line("certificate_not_used")
    await told(edge, "  no\n")  # not current
    await served(edge, certificates.client())
    certificates.renew(secret, NAME, _OTHER)
    owned(secret)
    await served(edge, certificates.client(), _OTHER)
