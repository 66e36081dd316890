"""The edge as a process of its own, seen from outside: its log, its signals, its descriptors.

    with running(site.toml(ROUTES), site) as edge:
        await ask(edge.address, "GET", "/health")
        line = await edge.line("exchange", path="/health")

What no edge may ever do is checked for every one of them: a "crash" line, anything but JSON on stdout, anything on
stderr.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from tests.e2e.site import Site
from tests.e2e.wire import PATIENCE, dial, request, until

Line = dict[str, Any]
ALL: list[Edge] = []  # those that run now
_LOOK = 0.005  # seconds between two looks at the log


class Edge:
    """A `splicer run`; see `running`."""

    def __init__(self, text: str, site: Site, directory: Path, environ: Mapping[str, str], descriptors: int) -> None:
        self.site = site
        self.path = directory / "routing.toml"
        self.write(text)
        self.lines: list[Line] = []
        self.noise: list[bytes] = []
        self._mark = 0
        self._stderr = (directory / "stderr").open("w+b")

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.process = subprocess.Popen(
            [sys.executable, "-m", "splicer", "run", "-c", str(self.path)],
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
            preexec_fn=limit if descriptors else None,
        )
        self.reading = threading.Event()  # cleared, the log is not read
        self.reading.set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self._wait_ready()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"ws://{self.address[0]}:{self.address[1]}"

    def write(self, text: str) -> None:
        """Put another routing.toml in place of the one there is."""
        self.path.write_text(text, encoding="utf-8")

    def signal(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    async def reload(self, text: str) -> Line:
        """Write a file, send SIGHUP, and wait for what comes of it: a "reload" or a "reload_failed" line."""
        self.mark()
        self.write(text)
        self.signal(signal.SIGHUP)
        return await self.line(("reload", "reload_failed"))

    async def exit_code(self) -> int:
        """Wait for the process to end."""
        await until(lambda: self.process.poll() is not None)
        self._reader.join(PATIENCE)
        return self.process.returncode

    def mark(self) -> None:
        """`line` and `find` look no further back than here."""
        self._mark = len(self.lines)

    def find(self, event: str | tuple[str, ...], **fields: object) -> list[Line]:
        """All lines with this event (or one of these) and these fields."""
        events = (event,) if isinstance(event, str) else event
        return [
            line
            for line in self.lines[self._mark :]
            if line.get("event") in events and all(line.get(key) == value for key, value in fields.items())
        ]

    async def line(self, event: str | tuple[str, ...], **fields: object) -> Line:
        """The first such line; waits for it."""
        return (await self.wait_lines(1, event, **fields))[0]

    async def wait_lines(self, count: int, event: str | tuple[str, ...], **fields: object) -> list[Line]:
        """At least `count` such lines; waits for them."""
        try:
            await until(lambda: self.noise or len(self.find(event, **fields)) >= count)
            assert not self.noise
        except AssertionError:
            raise AssertionError(
                f"not {count} {event} {fields} among {self.lines[self._mark :]} {self.noise}"
            ) from None
        return self.find(event, **fields)

    def descriptors(self, kind: str = "") -> int:
        """How many the process has open; of a kind: "socket", "pipe"."""
        links = []
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since
                links.append(str(descriptor.readlink()))
        return sum(link.startswith(kind) for link in links)

    def memory(self, key: str = "VmRSS") -> int:
        """A line of /proc/PID/status, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition(f"{key}:")[2].split()[0]) * 1024

    def cpu_seconds(self) -> float:
        """What the process has used so far."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    async def comes_to_rest(self, sockets: int) -> None:
        """Wait until no connection is left, neither a client's nor a pod's.

        Args:
            sockets: how many there were at rest.
        """
        await until(lambda: self.descriptors("socket") <= sockets)
        async with dial(self.address) as wire:
            with trio.fail_after(PATIENCE):
                active = 0
                while active != 1:
                    await wire.send(request("GET", "/status"))
                    active = int((await wire.reply()).body.split()[2])
                    await trio.sleep(_LOOK)

    def check(self) -> None:
        """What holds for every edge at any time."""
        assert not [line for line in self.lines if line.get("event") == "crash"]
        assert not self.noise, "stdout has lines that are no JSON"
        self._stderr.seek(0)
        assert self._stderr.read() == b"", "stderr is not empty"

    def close(self) -> None:
        """Stop at once, as SIGINT does, or by force; all must have gone well."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
                self.process.wait(PATIENCE)
            self.reading.set()
            self._reader.join(PATIENCE)
            assert self.process.returncode == 0, f"exit code {self.process.returncode}"
            self.check()
        finally:
            self._discard()

    def _discard(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reading.set()
        self._reader.join(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._stderr.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            self.reading.wait()
            try:
                line = json.loads(raw)
            except ValueError:
                self.noise.append(raw)
            else:
                self.lines.append(line) if isinstance(line, dict) else self.noise.append(raw)

    def _wait_ready(self) -> tuple[str, int]:
        late = time.monotonic() + PATIENCE
        while not (ready := self.find("ready")):
            if self.process.poll() is not None or time.monotonic() > late:
                self._stderr.seek(0)
                told = self._stderr.read().decode()
                self._discard()
                raise AssertionError(f"no edge: {told}{self.noise}")
            time.sleep(_LOOK)
        host, _, port = ready[0]["listen"][0].rpartition(":")
        return host, int(port)


@contextmanager
def running(text: str, site: Site, *, environ: Mapping[str, str] | None = None, descriptors: int = 0) -> Iterator[Edge]:
    """Run an edge.

    Args:
        text: its routing.toml.
        site: the addresses that it knows.
        environ: what its environment has besides ours.
        descriptors: RLIMIT_NOFILE, soft and hard; 0 leaves ours.
    """
    with tempfile.TemporaryDirectory() as directory:
        edge = Edge(text, site, Path(directory), environ or {}, descriptors)
        ALL.append(edge)
        try:
            yield edge
        finally:
            ALL.remove(edge)
            edge.close()
