"""`splicer run --to`: an edge without a file, and the log that a person sees on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from splicer.supervisor.locate import supervisor
from tests.e2e.test_command_line import splicer
from tests.kit.calls import handshake
from tests.kit.edge import session_of
from tests.kit.fleet import echoes
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import free_port
from tests.kit.wire import TIMEOUT, ask, dial, until


@define
class Running:
    """A `splicer run` whose output is collected."""

    process: subprocess.Popen[bytes]
    output: bytearray = field(factory=bytearray)

    def read(self, fd: int) -> None:
        try:
            while data := os.read(fd, 4096):
                self.output += data
        except OSError:  # EIO: a terminal that nobody has open any more
            pass

    @property
    def text(self) -> str:
        return self.output.decode()

    @property
    def file(self) -> Path:
        found = supervisor(self.process.pid)
        assert found is not None
        return Path(found.config)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines(keepends=True) if line.endswith("\n")]

    async def event(self, name: str) -> dict[str, Any]:
        await until(lambda: any(line["event"] == name for line in self.events()))
        return next(line for line in self.events() if line["event"] == name)

    async def address(self) -> tuple[str, int]:
        host, _, port = (await self.event("ready"))["listen"][0].rpartition(":")
        return host, int(port)

    async def ends(self) -> int:
        self.process.send_signal(signal.SIGINT)
        await until(lambda: self.process.poll() is not None)
        return self.process.returncode


@contextmanager
def running(*options: str, terminal: bool = False) -> Iterator[Running]:
    """A `splicer run --admin off` with these options, on a terminal or with its output in a pipe."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    command = [sys.executable, "-m", "splicer", "run", "--admin", "off", *options]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.STDOUT, start_new_session=True
    )
    os.close(writer)
    edge = Running(process)
    thread = threading.Thread(target=edge.read, args=(reader,), daemon=True)
    thread.start()
    try:
        yield edge
    finally:
        process.kill()
        process.wait(TIMEOUT)
        for pid, _ in session_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        thread.join(TIMEOUT)
        os.close(reader)


async def test_requests_and_calls_go_to_that_address(nursery: trio.Nursery) -> None:
    plain, calls = free_port(), free_port()
    await http_pod(nursery, "127.0.0.1", plain)
    await tunnel_pod(nursery, "127.0.0.1", calls)
    with running("--to", f":{plain}", "--listen", "127.0.0.1:0") as edge:
        reply = await ask(await edge.address(), "GET", "/any/path?x=y", host="any.host")
        assert (reply.status, reply.body) == (200, b"127.0.0.1")
        assert (await edge.event("exchange"))["path"] == "/any/path"
        file = edge.file
        assert f'address = "127.0.0.1:{plain}"' in file.read_text()

        file.write_text(file.read_text().replace(f":{plain}", f":{calls}"))
        reloaded = await splicer("reload", "-c", file)
        assert (reloaded.code, reloaded.err) == (0, "")
        async with dial(await edge.address()) as wire:
            await wire.send(handshake("/call"))
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
            await echoes(wire)
        assert await edge.ends() == 0
        assert not file.exists()


@pytest.mark.slow
async def test_its_file_outlives_an_upgrade(nursery: trio.Nursery) -> None:
    port = free_port()
    await tunnel_pod(nursery, "127.0.0.1", port)
    with running("--to", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0") as edge:
        async with dial(await edge.address()) as wire:
            await wire.send(handshake("/call"))
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
            file = edge.file
            upgraded = await splicer("upgrade", "--pid", str(edge.process.pid))
            assert (upgraded.code, upgraded.err) == (0, "")
            assert file.exists()
            await echoes(wire)
        assert await edge.ends() == 0
        assert not file.exists()


async def test_no_file_is_left_by_an_edge_that_can_not_start() -> None:
    taken = free_port()
    [listener] = await trio.open_tcp_listeners(taken, host="127.0.0.1")
    async with listener:
        with running("--to", ":1", "--listen", f"127.0.0.1:{taken}") as edge:
            await until(lambda: edge.process.poll() is not None)
            assert edge.process.returncode == 1
            await until(lambda: "in use" in edge.text)
    [path] = re.findall(r"(/\S*/splicer-run-\S*\.toml)", edge.text)
    assert not await trio.Path(path).exists()


async def test_on_a_terminal_the_log_is_for_a_person(nursery: trio.Nursery) -> None:
    to, port = free_port(), free_port()
    await http_pod(nursery, "127.0.0.1", to)
    with running("--to", f":{to}", "--listen", f"127.0.0.1:{port}", terminal=True) as edge:
        await until(lambda: " ready " in edge.text)
        assert (await ask(("127.0.0.1", port), "GET", "/seen")).status == 200
        await until(lambda: "/seen" in edge.text)
        assert await edge.ends() == 0
        await until(lambda: "stopped" in edge.text)
    lines = edge.text.splitlines()
    assert {"worker_serving", "ready", "exchange", "stopped"} <= {
        word for line in lines for word in plain(line).split()
    }
    for line in lines:
        with pytest.raises(json.JSONDecodeError):
            json.loads(line)


def plain(text: str) -> str:
    """The text without its colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
