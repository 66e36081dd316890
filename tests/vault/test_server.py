from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import pytest

from splicer.vault import protocol
from splicer.vault.journal import PLACES
from splicer.vault.protocol import Kind, Message
from tests.vault.rig import Rig, Talker

_ROOT = Path(__file__).resolve().parent.parent.parent
_NOBODY = 65534
_TIMEOUT = 20.0
_FEW = 24  # descriptors
_PROGRAM = """
import json, os, sys
from pathlib import Path
from splicer.vault.server import serve
if len(sys.argv) > 2:
    os.chdir(Path(sys.argv[1]).parent)
    os.setuid(int(sys.argv[2]))
    sys.argv[1] = Path(sys.argv[1]).name
serve(Path(sys.argv[1]), lambda event, **fields: print(json.dumps({"event": event, **fields}), flush=True))
"""


class Server:
    """A vault in a process of its own."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self.path = path
        self.process = process

    def heard(self) -> dict[str, Any]:
        """Its next log line."""
        line = cast("IO[bytes]", self.process.stdout).readline()
        assert line, "it is gone"
        return cast("dict[str, Any]", json.loads(line))

    def stop(self) -> dict[str, Any]:
        """SIGTERM; what it says."""
        self.process.send_signal(signal.SIGTERM)
        *_, last = cast("IO[bytes]", self.process.stdout).read().splitlines()
        assert self.process.wait() == 0
        return cast("dict[str, Any]", json.loads(last))

    @contextmanager
    def talker(self) -> Iterator[Talker]:
        """A worker."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(str(self.path))
        talker = Talker(sock)
        talker.hello()
        try:
            yield talker
        finally:
            talker.close()


@contextmanager
def _serving(
    path: Path, *more: str, prepare: Callable[[], None] | None = None, program: str = _PROGRAM
) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path), *more], cwd=_ROOT, stdout=subprocess.PIPE, preexec_fn=prepare
    )
    server = Server(path, process)
    try:
        assert server.heard()["event"] == "vault_ready"
        yield server
    finally:
        process.kill()
        process.communicate()


def _hear(talker: Talker) -> Message:
    talker.sock.settimeout(_TIMEOUT)
    give_up = time.monotonic() + _TIMEOUT
    while time.monotonic() < give_up:
        with suppress(BlockingIOError):
            message = talker.hear()
            assert message is not None
            return message
        time.sleep(0.001)
    raise AssertionError("it says nothing")


def test_tunnels_outlive_who_registered_them(rig: Rig, tmp_path: Path) -> None:
    tunnel = rig.tunnel()
    with _serving(tmp_path / "vault") as server:
        with server.talker() as worker:
            worker.pipe(rig.pipe(b"bytes"), 0, tunnel.key)
            worker.tunnel(tunnel)
        with server.talker() as heir:
            heir.serve()
            adopted = _hear(heir)
            assert (adopted.number, os.read(adopted.fds[2], 9)) == (tunnel.key, b"bytes")
            adopted.close()
        assert server.heard()["event"] == "tunnels_orphaned"


def test_what_can_not_even_be_told_ends_nothing(rig: Rig, tmp_path: Path) -> None:
    bug = """
from splicer.vault.holder import Holder
faults = [MemoryError(), MemoryError()]
def tidy(self, tidy=Holder.tidy):
    if faults:
        raise faults.pop()
    return tidy(self)
def print(line, print=print, **more):
    if len(faults) == 1:
        raise MemoryError
    print(line, **more)
Holder.tidy = tidy
"""
    tunnel = rig.tunnel()
    with _serving(tmp_path / "vault", program=bug + _PROGRAM) as server, server.talker() as worker:
        worker.tunnel(tunnel)
        assert server.heard()["event"] == "vault_error", "of two, one can be told"
        worker.send(Kind.COUNT)
        assert _hear(worker).quantity == 1


# A mapping of it would raise SIGBUS (mmap(2)), which ends the process and all that it holds.
def test_a_journal_that_has_become_shorter_costs_nothing(rig: Rig, tmp_path: Path) -> None:
    tunnel, odd = rig.tunnel(), os.memfd_create("journal")
    os.ftruncate(odd, PLACES * 8)
    with _serving(tmp_path / "vault") as server, server.talker() as worker:
        worker.tunnel(tunnel)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(server.path))
            protocol.send(sock, protocol.pack(Kind.HELLO), (odd,))
            protocol.send(sock, protocol.pack(Kind.COUNT))
            sock.recv(100)
            os.ftruncate(odd, 0)
            pipe = rig.pipe(b"bytes")
            protocol.send(sock, protocol.pack(Kind.PIPE, 5), (pipe.read_fd,))
            pipe.leave()
        os.close(odd)
        worker.send(Kind.COUNT)
        assert _hear(worker).quantity == 1
        give_up = time.monotonic() + _TIMEOUT
        while pipe.is_held():
            assert time.monotonic() < give_up, "it keeps the pipe"
            time.sleep(0.001)
        worker.send(Kind.COUNT)
        assert _hear(worker).quantity == 1


def test_only_its_user_may_use_the_socket(tmp_path: Path) -> None:
    with _serving(tmp_path / "vault") as server:
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
def test_another_user_is_turned_away(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    program = (
        "import os, socket, sys; os.setuid(int(sys.argv[1]));"
        "sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); sock.connect('vault');"
        "sys.exit(len(sock.recv(99)))"
    )
    with _serving(tmp_path / "vault") as server:
        server.path.chmod(0o666)
        assert subprocess.run([sys.executable, "-c", program, str(_NOBODY)], cwd=tmp_path).returncode == 0
        assert server.heard() == {"event": "vault_peer_refused", "level": "error", "uid": _NOBODY}
        with server.talker() as worker:
            worker.send(Kind.COUNT)
            assert _hear(worker).kind == Kind.COUNT


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
def test_root_may_use_another_users(tmp_path: Path) -> None:
    os.chown(tmp_path, _NOBODY, _NOBODY)
    with _serving(tmp_path / "vault", str(_NOBODY)) as server, server.talker() as worker:
        worker.send(Kind.COUNT)
        assert _hear(worker).kind == Kind.COUNT


def test_what_a_killed_vault_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "vault"
    with _serving(path):
        pass  # killed
    assert path.exists()
    with _serving(path) as server, server.talker():
        pass


def test_a_second_one_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "vault"
    with _serving(path) as server:
        assert f"[Errno {errno.EADDRINUSE}]" in _fails(path)
        with server.talker() as worker:
            worker.send(Kind.COUNT)
            assert _hear(worker).kind == Kind.COUNT


def _fails(path: Path) -> str:
    """What a vault that can't begin raises."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, str(path)], cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode
    return done.stderr


@pytest.mark.parametrize("content", ["a file", None])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "vault"
    path.write_text(content) if content else path.mkdir()
    assert f"[Errno {errno.EADDRINUSE}]" in _fails(path)
    assert path.exists()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_its_tunnels(rig: Rig, tmp_path: Path, signum: signal.Signals) -> None:
    tunnel = rig.tunnel()
    with _serving(tmp_path / "vault") as server, server.talker() as worker:
        worker.tunnel(tunnel)
        worker.send(Kind.COUNT)
        assert _hear(worker).quantity == 1
        server.process.send_signal(signum)
        assert server.heard() == {"event": "vault_stopped", "tunnels": 1}
        assert server.process.wait() == 0
        assert not server.path.exists()
        assert not tunnel.is_held()


def test_a_hangup_does_nothing(tmp_path: Path) -> None:
    with _serving(tmp_path / "vault") as server, server.talker() as worker:
        server.process.send_signal(signal.SIGHUP)
        worker.send(Kind.COUNT)
        assert _hear(worker).kind == Kind.COUNT
        assert server.stop() == {"event": "vault_stopped", "tunnels": 0}


# A vault without a descriptor for one more worker must go on for those that it has: its end is the end of their calls.
def test_a_connection_that_finds_no_descriptor_costs_the_others_nothing(rig: Rig, tmp_path: Path) -> None:
    tunnel = rig.tunnel()

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FEW, _FEW))

    with _serving(tmp_path / "vault", prepare=few) as server, server.talker() as worker:
        worker.tunnel(tunnel)
        others = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(30)]
        for other in others:
            other.connect(str(server.path))
        give_up = time.monotonic() + _TIMEOUT
        while len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) < _FEW:
            assert server.process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.001)
        worker.send(Kind.COUNT)
        assert _hear(worker).quantity == 1
        for other in others:
            other.close()
        with server.talker() as late:
            late.send(Kind.COUNT)
            assert _hear(late).kind == Kind.COUNT


def test_what_is_too_long_for_a_path_is_told(tmp_path: Path) -> None:
    assert "path too long" in _fails(tmp_path / ("x" * 200))


def test_versions_it_does_not_understand_are_refused(tmp_path: Path) -> None:
    with _serving(tmp_path / "vault") as server, server.talker() as worker:
        worker.send(Kind.COUNT, version=protocol.VERSION + 1)
        assert _hear(worker).kind == Kind.REFUSED
        assert server.heard()["event"] == "vault_refuses"
