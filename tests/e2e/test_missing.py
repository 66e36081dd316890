"""What is not there, or not allowed, when a command begins: one clear line that names it, and exit code 1.

Files that may not be read and ports that may not be had are tried without root's capabilities.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.e2e.test_command_line import splicer
from tests.kit.edge import running
from tests.kit.site import Site
from tests.kit.wire import TIMEOUT

_MAY_LITTLE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
_FORBIDDEN = 80
_FIRST = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
_KEYS = ("listen", "admin", "metrics")
_ADDRESSES = {"listen": "127.0.0.1:0", "admin": "off", "metrics": "off"}


async def line_of(*arguments: str | Path) -> str:
    """What a command says on stderr: one line; it must fail."""
    command = [*_MAY_LITTLE, sys.executable, "-m", "splicer", *map(str, arguments)]
    with trio.fail_after(3 * TIMEOUT):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    told = done.stderr.decode()
    assert (done.returncode, done.stdout) == (1, b""), told
    assert told.startswith("splicer: ")
    assert told.count("\n") == 1, told
    return told.strip()


def routing(directory: Path, **addresses: str) -> Path:
    """A file; `addresses` are those of ``[server]``."""
    server = "".join(f'{key} = "{address}"\n' for key, address in {**_ADDRESSES, **addresses}.items())
    path = directory / "routing.toml"
    path.write_text(f'[server]\n{server}[[routes]]\nname = "all"\nprefix = "/"\nrespond = {{ status = 200 }}\n')
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return routing(tmp_path)


@pytest.fixture
def unreadable(config: Path) -> Path:
    config.chmod(0)
    return config


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory with a file, which nobody may enter."""
    directory = tmp_path / "closed"
    directory.mkdir()
    routing(directory)
    directory.chmod(0)
    yield directory
    directory.chmod(0o700)


# ---- the configuration ----


@pytest.mark.parametrize("command", ["run", pytest.param("check", marks=pytest.mark.slow)])
async def test_a_file_that_can_not_be_read(command: str, unreadable: Path, closed: Path) -> None:
    config = unreadable
    for path, words in (
        (config, "Permission denied"),
        (closed / "routing.toml", "Permission denied"),
        (config / "routing.toml", "Not a directory"),
        (config.parent / "gone" / "routing.toml", "No such file or directory"),
        (config.parent, "Is a directory"),
    ):
        assert await line_of(command, "-c", path) == f"splicer: {path}: {words}"


# ---- the vault's directory ----


async def test_a_vaults_place_that_is_none(config: Path, closed: Path) -> None:
    here = config.parent
    for path, words in (
        (here / "gone" / "vault", f"No such file or directory: {here}/gone; make it, or mount the volume that"),
        (closed / "vault", "Permission denied"),
        (config / "vault", "Not a directory"),
        (config, "this is no socket; "),
        (here, "this is no socket; "),
        (here / ("x" * 100), "too long for a socket's path: "),
    ):
        line = await line_of("run", "-c", config, "--vault", path)
        assert line.startswith(f"splicer: --vault: {path}: {words}"), line
        line = await line_of("vault", "--socket", path)
        assert line.startswith(f"splicer: {path}: {words}"), line


async def test_a_directory_that_a_vault_may_not_write_to(tmp_path: Path) -> None:
    directory = tmp_path / "volume"
    directory.mkdir(mode=0o500)
    line = await line_of("vault", "--socket", directory / "vault")
    remedy = f"its directory must be writable, and the user is {os.geteuid()}"
    assert line == f"splicer: {directory}/vault: Permission denied; {remedy}"


# A living edge is not ended by its vault's directory: it is an upgrade that finds it missing.
async def test_a_directory_that_goes_later_stops_nobody(tmp_path: Path) -> None:
    directory, site = tmp_path / "volume", Site(pods=1)
    directory.mkdir()
    with running(site.toml(), site, options=("--vault", str(directory / "vault"))) as edge:
        shutil.rmtree(directory)
        assert (await splicer("reload", "-c", edge.path)).code == 1  # the control socket was there, too
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        assert (await splicer("reload", "-c", edge.path)).code == 0


# ---- ports ----


@pytest.mark.parametrize("key", _KEYS)
async def test_an_address_that_can_not_be_had(tmp_path: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = f"127.0.0.1:{taken.getsockname()[1]}"
        for address, words in (
            (used, "Address already in use; another process listens there"),
            ("192.0.2.1:8080", "Cannot assign requested address; no interface here has this address"),
        ):
            path = routing(tmp_path, **{key: address})
            assert await line_of("run", "-c", path) == f"splicer: {path}: server.{key}: {address}: {words}"


@pytest.mark.skipif(_FIRST <= _FORBIDDEN, reason="here anybody may have any port")
@pytest.mark.parametrize("key", _KEYS)
async def test_a_port_that_is_roots(tmp_path: Path, key: str) -> None:
    path = routing(tmp_path, **{key: f"127.0.0.1:{_FORBIDDEN}"})
    line = await line_of("run", "-c", path)
    assert line == (f"splicer: {path}: server.{key}: 127.0.0.1:{_FORBIDDEN}: Permission denied; take a port above 1023")
