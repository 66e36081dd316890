"""The real nginx and Envoy as processes, for one configuration each."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

_START_TIMEOUT = 60.0  # seconds, on a busy machine
_POLL_INTERVAL = 0.02

Address = tuple[str, int]


def nginx_command() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")


def envoy_command() -> str | None:
    beside = Path(sys.executable).parent / "envoy"
    return str(beside) if beside.exists() and importlib.util.find_spec("envoy") else shutil.which("envoy")


@asynccontextmanager
async def nginx(text: str, address: Address) -> AsyncIterator[None]:
    """Run nginx until the block is left; it listens at the address."""
    command = nginx_command()
    assert command is not None
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "nginx.conf"
        path.write_text(f"daemon off;\nmaster_process off;\nerror_log {directory}/error.log;\n{text}")
        async with _running([command, "-p", directory, "-c", str(path)], address, Path(directory) / "error.log"):
            yield


@asynccontextmanager
async def envoy(text: str, address: Address) -> AsyncIterator[None]:
    """Run Envoy until the block is left; it listens at the address."""
    command = envoy_command()
    assert command is not None
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "envoy.yaml"
        path.write_text(text)
        options = ["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", "--drain-time-s", "1"]
        log = Path(directory) / "envoy.log"
        async with _running([command, "-c", str(path), *options, "--log-path", str(log)], address, log):
            yield


@asynccontextmanager
async def _running(command: list[str], address: Address, log: Path) -> AsyncIterator[None]:
    process = _start(command)
    try:
        await _wait(process, address, log)
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


# Envoy looks names up before it listens, and the name server is in this thread.
async def _wait(process: subprocess.Popen[bytes], address: Address, log: Path) -> None:
    late = trio.current_time() + _START_TIMEOUT
    while not _accepts(address):
        if process.poll() is not None or trio.current_time() > late:
            raise AssertionError(f"it did not start: {_told(process, log)}")
        await trio.sleep(_POLL_INTERVAL)


def _accepts(address: Address) -> bool:
    with suppress(OSError), socket.create_connection(address, 1):
        return True
    return False


def _told(process: subprocess.Popen[bytes], log: Path) -> str:
    process.kill()
    assert process.stderr is not None
    return (log.read_text() if log.exists() else "") + process.stderr.read().decode()
