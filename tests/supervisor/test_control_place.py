"""Where the control socket is, and what is told when it can be nowhere."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from splicer.supervisor.control_place import listen_at_first, places
from splicer.supervisor.control_socket import ControlSocket
from tests.supervisor.harness import SupervisorHarness


@pytest.fixture
def control(harness: SupervisorHarness) -> Iterator[ControlSocket]:
    yield harness.edge.control
    harness.edge.control.close()


def test_the_vaults_directory_comes_first_and_a_private_one_last(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    beside, runtime, private = places(tmp_path / "r.toml", Path("/run/splicer/vault.sock"), "/dev/shm/x", environ)
    assert beside == Path("/run/splicer/vault-control.sock")
    assert runtime.parent == Path("/run/user/1000")
    assert private == Path("/dev/shm/x/control.sock")
    assert places(tmp_path / "r.toml", None, None, {}) == []


def test_two_vaults_or_two_files_in_one_directory_have_two_places(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    found = [
        place
        for name in ("a", "b")
        for place in places(tmp_path / f"{name}.toml", tmp_path / f"{name}.sock", None, environ)
    ]
    assert len(set(found)) == 4
    (tmp_path / "link.toml").symlink_to(tmp_path / "a.toml")
    assert places(tmp_path / "link.toml", None, None, environ) == [found[1]]  # its next life finds what it left


def test_the_first_that_takes_it_is_taken(control: ControlSocket, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "taken"))
        other.listen()
        (tmp_path / "file").touch()
        unfit = [tmp_path / "taken", tmp_path / "file", tmp_path / "none" / "x", tmp_path / ("x" * 108)]
        faults = listen_at_first(control, unfit)
        assert control.path is None
        for fault, path, words in zip(
            faults, unfit, ("another process", "no socket", f"user {os.geteuid()}", "too long"), strict=True
        ):
            assert str(path) in fault
            assert words in fault
        assert listen_at_first(control, [*unfit, tmp_path / "free"]) == []
    assert control.path == tmp_path / "free"


def test_no_place_at_all(control: ControlSocket) -> None:
    [fault] = listen_at_first(control, [])
    assert "--control" in fault


def test_a_relative_path_becomes_absolute(
    control: ControlSocket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert listen_at_first(control, [Path("here")]) == []
    assert control.path == tmp_path / "here"
