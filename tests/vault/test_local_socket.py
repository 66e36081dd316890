"""Listening sockets in the file system, and who is at their other end."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from splicer.vault.local_socket import Peer, listen_at, peer_of
from tests.kit.descriptors import none_left_open

_KINDS = (socket.SOCK_SEQPACKET, socket.SOCK_STREAM)


@pytest.fixture(params=_KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[socket.SocketKind]:
    with none_left_open():
        yield request.param


def _connected(path: Path, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.connect(str(path))
    return sock


def test_only_its_user_may_connect(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = tmp_path / "socket"
    before = os.umask(0o022)
    with listen_at(path, kind) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not listener.getblocking()
    assert os.umask(before) == 0o022, "files that are made later have their own modes"


def test_both_ends_know_each_other(tmp_path: Path, kind: socket.SocketKind) -> None:
    with listen_at(tmp_path / "socket", kind) as listener, _connected(tmp_path / "socket", kind) as client:
        served, _ = listener.accept()
        with served:
            assert peer_of(served) == peer_of(client) == Peer(os.getpid(), os.geteuid())
            assert peer_of(served).may_ask


@pytest.mark.parametrize(("uid", "allowed"), [(0, True), (1000, True), (1001, False)])
def test_others_than_the_user_and_root_may_not_ask(monkeypatch: pytest.MonkeyPatch, uid: int, allowed: bool) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert Peer(7, uid).may_ask is allowed


def test_a_socket_that_a_killed_process_has_left_is_replaced(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = tmp_path / "socket"
    listen_at(path, kind).close()
    assert path.exists()
    with listen_at(path, kind), _connected(path, kind):
        pass


def test_one_that_is_served_is_not_taken(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = tmp_path / "socket"
    with listen_at(path, kind):
        with pytest.raises(OSError, match="in use") as raised:
            listen_at(path, kind)
        assert raised.value.errno == errno.EADDRINUSE
        with _connected(path, kind):
            pass


# Whoever answers slowly has a full backlog: it must be neither waited for nor replaced.
def test_one_whose_backlog_is_full_is_somebodys(
    tmp_path: Path, kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "socket"
    monkeypatch.setattr("splicer.vault.local_socket._BACKLOG", 0)
    with listen_at(path, kind), _connected(path, kind), pytest.raises(OSError, match="in use"):
        listen_at(path, kind)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        listen_at(path, kind)
    assert path.read_text() == "mine"
