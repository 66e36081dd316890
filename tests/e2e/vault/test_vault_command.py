"""`splicer vault`: who is heard, and the command."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.e2e.test_command_line import splicer
from tests.e2e.vault.calls import all_are_held, calls
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import several
from tests.kit.site import Place, Site
from tests.kit.vaults import Vault, vault_at

_CONNECT = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setuid(65534)
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.settimeout(10)
try:
    sock.connect(sys.argv[2])
    print(sock.recv(1))
except OSError as error:
    print(type(error).__name__)
"""


# ---- who is heard ----


def connect_as_nobody(path: Path) -> str:
    """What becomes of a connection of another user's."""
    command = [sys.executable, "-c", _CONNECT, str(path.parent), path.name]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_user_is_refused(vault: Vault) -> None:
    assert stat.S_IMODE(vault.path.stat().st_mode) == 0o600
    assert connect_as_nobody(vault.path) == "PermissionError"
    vault.path.parent.chmod(0o755)
    vault.path.chmod(0o666)
    try:
        assert connect_as_nobody(vault.path) in ("b''", "ConnectionResetError")
        await vault.line("vault_peer_refused", uid=65534)
    finally:
        vault.path.chmod(0o600)


# ---- the command ----


async def test_the_vault_ends_in_order(tmp_path: Path) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        with vault_at(tmp_path / "vault") as vault:
            vault.process.send_signal(signum)
            assert await trio.to_thread.run_sync(vault.process.wait) == 0
            await vault.line("vault_stopped", tunnels=0)
            assert not vault.path.exists()


async def test_other_signals_do_not_end_it(vault: Vault) -> None:
    for signum in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        vault.process.send_signal(signum)
    assert vault.tunnels() == 0
    assert vault.process.poll() is None


async def test_a_second_vault_at_the_same_socket(vault: Vault, edge: Edge, place: Place) -> None:
    async with calls(edge, place):
        result = await splicer("vault", "--socket", vault.path)
        assert (result.code, result.out) == (1, "")
        assert result.err == f"splicer: {vault.path}: Address already in use: another vault serves it\n"
        assert vault.tunnels() == 2


async def test_a_socket_that_can_not_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for name, words in (
        ("gone/vault", "No such file or directory"),
        ("file", "no socket"),
        ("x" * 200, "too long"),
    ):
        result = await splicer("vault", "--socket", tmp_path / name)
        assert (result.code, result.out) == (1, "")
        assert len(result.err.splitlines()) == 1
        assert str(tmp_path / name) in result.err
        assert words in result.err
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("keep", ["10", "soon", "-1s", ""])
async def test_a_keep_that_is_no_duration(tmp_path: Path, keep: str) -> None:
    result = await splicer("vault", "--socket", tmp_path / "vault", f"--keep={keep}")
    assert (result.code, result.out) == (2, "")
    assert "--keep" in result.err


@pytest.mark.slow
async def test_calls_that_nobody_comes_for_are_ended(tmp_path: Path, site: Site, place: Place) -> None:
    vault = Vault(tmp_path / "vault", "500ms")
    try:
        with running(several(site), site, options=("--vault", str(vault.path))) as edge:
            async with tunnel(edge, f"/ws/{place.name}/x") as call:
                await all_are_held(vault, 1)
                edge.kill()
                assert await call.end() == "eof"
            await vault.line("tunnel_abandoned")
            assert vault.tunnels() == 0
    finally:
        vault.kill()
