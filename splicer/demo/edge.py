"""The edge of the demo: a real `splicer run` in a process of its own, so that signals work on it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import trio

from splicer.demo.failure import DemoFailed, must_work

_START_TIMEOUT = 30.0  # seconds, on a slow machine
_STOP_TIMEOUT = 6.0  # seconds between SIGINT and SIGKILL: longer than the supervisor waits for its workers


class Edge:
    """A running edge.

    Args:
        process: the process of `splicer run`.
        file: its routing.toml.
    """

    def __init__(self, process: trio.Process, file: Path) -> None:
        self.address = ""
        self.file = file
        self._process = process
        self._arriving, self._log = trio.open_memory_channel[Mapping[str, Any]](math.inf)
        self._last_words = "it said nothing"

    @property
    def pid(self) -> int:
        """The supervisor's pid, for signals."""
        return self._process.pid

    async def next_entry(self) -> Mapping[str, Any] | None:
        """The next line of its log; None when it has ended."""
        try:
            return await self._log.receive()
        except trio.EndOfChannel:
            return None

    async def entry(self, event: str, route: str | None = None) -> Mapping[str, Any]:
        """The next line of its log about an event; the caller's cancel scope is the deadline.

        Raises:
            DemoFailed: the edge has ended.
        """
        while (entry := await self.next_entry()) is not None:
            if entry["event"] == event and entry.get("route") == route:
                return entry
        raise DemoFailed(f"the edge has ended: {self._last_words}")

    async def ended(self) -> None:
        """Wait until the edge has ended.

        Raises:
            DemoFailed: its exit status is not 0.
        """
        status = await self._process.wait()
        if status:
            raise DemoFailed(f"the edge has ended with status {status}: {self._last_words}")

    async def read_log(self) -> None:
        """Read the log until it ends."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        rest = b""
        with self._arriving:
            async for chunk in self._process.stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._last_words = line.decode("utf-8", "replace")
                    self._arriving.send_nowait(_parse(self._last_words))


@asynccontextmanager
async def running_edge(directory: Path, port: int) -> AsyncIterator[Edge]:
    """An edge that accepts connections; at the end of the block it is stopped, and its process reaped.

    Args:
        directory: for its routing.toml.
        port: the edge's TCP port; 0 takes any free one.

    Raises:
        DemoFailed: the edge doesn't start.
    """
    file = directory / "routing.toml"
    file.write_bytes(files("splicer.demo").joinpath("routing.toml").read_bytes())
    start = partial(
        trio.run_process,
        [sys.executable, "-m", "splicer", "run", "-c", str(file)],
        env=os.environ | {"SPLICER_DEMO_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        start_new_session=True,  # the terminal sends Ctrl-C to the demo alone, which then stops the edge
        deliver_cancel=_stop,
    )
    async with trio.open_nursery() as nursery:
        edge = Edge(await nursery.start(start), file)
        nursery.start_soon(edge.read_log)
        with must_work("starting the edge", _START_TIMEOUT):
            edge.address = (await edge.entry("ready"))["listen"][0]
        yield edge
        nursery.cancel_scope.cancel()


async def _stop(process: trio.Process) -> None:
    process.send_signal(signal.SIGINT)
    await trio.sleep(_STOP_TIMEOUT)
    process.kill()


def _parse(line: str) -> Mapping[str, Any]:
    """A JSON log line as an entry; any other line as an entry whose event is the line."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {"event": line}
    return entry if isinstance(entry, dict) and "event" in entry else {"event": line}
