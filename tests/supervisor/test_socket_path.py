"""Where a vault's socket can be; as another user than root: tests/e2e/test_missing.py."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from splicer.supervisor.socket_path import fault_of


def test_a_directory_with_or_without_a_socket_is_a_place(tmp_path: Path) -> None:
    path = tmp_path / "vault.sock"
    assert fault_of(path) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(str(path))
        assert fault_of(path) is None


def test_a_name_alone_is_in_the_directory_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fault_of(Path("vault.sock")) is None


def test_a_missing_directory_is_named_with_the_remedy(tmp_path: Path) -> None:
    fault = fault_of(tmp_path / "gone" / "vault.sock")
    assert fault is not None
    assert fault.startswith(f"{tmp_path}/gone/vault.sock: No such file or directory: {tmp_path}/gone; ")
    assert "mount" in fault


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_what_is_no_socket(tmp_path: Path, make: object) -> None:
    path = tmp_path / "vault.sock"
    assert callable(make)
    make(path)
    assert str(fault_of(path)).startswith(f"{path}: this is no socket; ")
    assert path.exists()


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert fault_of(tmp_path / "file" / "vault.sock") == f"{tmp_path}/file/vault.sock: Not a directory"


# The kernel is asked: it has the last word on how long a path may be.
@pytest.mark.parametrize("letter", ["x", "ü"])
@pytest.mark.parametrize("more", [-1, 0, 1, 2])
def test_the_longest_path_is_the_kernels(tmp_path: Path, letter: str, more: int) -> None:
    room, size = 107 + more - len(f"{tmp_path}/"), len(letter.encode())
    path = tmp_path / (letter * (room // size) + "x" * (room % size))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        try:
            sock.bind(str(path))
        except OSError:
            assert "too long" in str(fault_of(path))
        else:
            assert fault_of(path) is None
