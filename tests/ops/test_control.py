"""The client of the control socket: one clear line for whatever may be at the other end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from splicer.ops.control import CommandFailed, Supervisor
from splicer.supervisor.control_socket import encode
from splicer.supervisor.locate import title_of

_TIMEOUT = 20.0  # seconds
_CONFIG = Path("routing.toml")


@contextmanager
def answering(path: Path, answer: bytes, *, wait: bool = False) -> Iterator[list[bytes]]:
    """A supervisor that says this to one client; the words that it has heard."""
    heard: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            heard.append(sock.recv(100))
            sock.sendall(answer)
            done.wait(_TIMEOUT if wait else 0)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heard
        finally:
            done.set()
            thread.join()


def failure(path: Path, timeout: float = _TIMEOUT) -> str:
    with pytest.raises(CommandFailed) as caught:
        Supervisor(_CONFIG, None, path).ask("reload", timeout)
    [line] = caught.value.faults
    return line


def test_the_outcome(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with answering(path, encode(["one", "two"], ok=True)) as heard:
        assert Supervisor(_CONFIG, None, path).ask("reload", _TIMEOUT) == ["one", "two"]
    assert heard == [b"reload\n"]
    path.unlink()
    with answering(path, encode(["a fault", "another"], ok=False)), pytest.raises(CommandFailed) as caught:
        Supervisor(_CONFIG, None, path).ask("reload", _TIMEOUT)
    assert caught.value.faults == ("a fault", "another")


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"", "before it said"), (b"yes\n", "something else"), (b'{"ok": tr', "something else"), (b"x" * 100_000, "else")],
    ids=["none", "other", "half", "endless"],
)
def test_what_is_no_outcome(tmp_path: Path, answer: bytes, words: str) -> None:
    with answering(tmp_path / "control", answer):
        assert words in failure(tmp_path / "control")


def test_one_that_takes_too_long(tmp_path: Path) -> None:
    with answering(tmp_path / "control", b"", wait=True):
        assert "still at it" in failure(tmp_path / "control", 0.05)


@pytest.mark.parametrize("make", [lambda _: None, Path.touch, Path.mkdir], ids=["nothing", "file", "directory"])
def test_nobody_is_there(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "control")
    assert str(tmp_path / "control") in failure(tmp_path / "control")
    assert "no supervisor is there" in failure(tmp_path / "control")
    assert str(tmp_path / "none") in failure(tmp_path / "none" / "control")


def test_a_path_longer_than_an_address(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    (tmp_path / "short").symlink_to(directory)
    fd = os.open(directory, os.O_RDONLY)
    try:
        with answering(Path(f"/proc/self/fd/{fd}/control"), encode([], ok=True)):
            assert Supervisor(_CONFIG, None, directory / "control").ask("reload", _TIMEOUT) == []
    finally:
        os.close(fd)


_TITLED = """
import sys, time
from setproctitle import setproctitle
setproctitle(sys.argv[1])
print(flush=True)
time.sleep(60)
"""


@contextmanager
def titled(config: Path, control: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that says that it is a supervisor."""
    command = [sys.executable, "-c", _TITLED, title_of(config, control)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_another_process_at_its_place_is_not_asked(tmp_path: Path) -> None:
    """The path is that of another mount namespace, or was taken by someone else."""
    config, path = tmp_path / "routing.toml", tmp_path / "control"
    with titled(config, path) as process, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(CommandFailed) as caught:
            Supervisor(config, None, None).ask("reload", _TIMEOUT)
    assert f"another process than {process.pid}" in caught.value.faults[0]


def test_one_without_a_control_socket_may_be_signalled(tmp_path: Path) -> None:
    config = tmp_path / "routing.toml"
    with titled(config, None) as process:
        with pytest.raises(CommandFailed, match="--no-wait"):
            Supervisor(config, None, None).ask("reload", _TIMEOUT)
        assert Supervisor(config, None, None).signal(signal.SIGHUP) == []
        assert process.wait(_TIMEOUT) == -signal.SIGHUP


def test_a_signal_to_who_has_the_socket(tmp_path: Path) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "control"))
            listener.listen()
            Supervisor(_CONFIG, None, tmp_path / "control").signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]


def test_several_run_the_same_file(tmp_path: Path) -> None:
    config = tmp_path / "routing.toml"
    with titled(config, None), titled(config, None), pytest.raises(CommandFailed, match=r"2 supervisors .* --pid"):
        Supervisor(config, None, None)
