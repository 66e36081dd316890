"""A `splicer run` whose output is read as it is, from a pipe or from a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

from splicer.supervisor.locate import supervisor
from tests.kit.edge import session_of
from tests.kit.wire import TIMEOUT, until


@define
class Running:
    """A `splicer run` whose output is collected."""

    process: subprocess.Popen[bytes]
    out: bytearray = field(factory=bytearray)
    err: bytearray = field(factory=bytearray)

    @property
    def text(self) -> str:
        """What it has written to stdout."""
        return self.out.decode()

    @property
    def errors(self) -> str:
        """What it has written to stderr."""
        return self.err.decode()

    @property
    def file(self) -> Path:
        found = supervisor(self.process.pid)
        assert found is not None
        return Path(found.config)

    async def event(self, name: str) -> dict[str, Any]:
        """The first such line of JSON, on either."""
        await until(lambda: self._events(name))
        return self._events(name)[0]

    def _events(self, name: str) -> list[dict[str, Any]]:
        whole = [line for line in (self.text + self.errors).splitlines(keepends=True) if line.endswith("\n")]
        events = [json.loads(line) for line in whole if line.startswith("{")]
        return [event for event in events if event["event"] == name]

    async def address(self) -> tuple[str, int]:
        host, _, port = (await self.event("ready"))["listen"][0].rpartition(":")
        return host, int(port)

    async def ends(self) -> int:
        self.process.send_signal(signal.SIGINT)
        await until(lambda: self.process.poll() is not None)
        return self.process.returncode


@contextmanager
def running_bare(*options: str, terminal: bool = False) -> Iterator[Running]:
    """A `splicer run` with these options, on a terminal or with its output in pipes."""
    out, its_out = pty.openpty() if terminal else os.pipe()
    err, its_err = os.pipe()
    command = [sys.executable, "-m", "splicer", "run", *options]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=its_out, stderr=its_err, start_new_session=True
    )
    os.close(its_out)
    os.close(its_err)
    edge = Running(process)
    readers = [threading.Thread(target=_read, args=ends, daemon=True) for ends in ((out, edge.out), (err, edge.err))]
    for reader in readers:
        reader.start()
    try:
        yield edge
    finally:
        process.kill()
        process.wait(TIMEOUT)
        for pid, _ in session_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        for reader in readers:
            reader.join(TIMEOUT)
        os.close(out)
        os.close(err)


def _read(fd: int, into: bytearray) -> None:
    try:
        while data := os.read(fd, 4096):
            into += data
    except OSError:  # EIO: a terminal that nobody has open any more
        return
