"""The edge as processes of its own, seen from outside: its log, its signals, its descriptors.

    with running(site.toml(ROUTES), site) as edge:
        await ask(edge.address, "GET", "/health")
        line = await edge.line("exchange", path="/health")

Every edge is checked for what none may ever do: a "crash" line, a process that dies, anything but JSON on stdout,
anything on stderr, and a process that remains after the edge's end.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from tests.kit.site import Site
from tests.kit.wire import TIMEOUT, dial, request, until

Line = dict[str, Any]
ALL: list[Edge] = []  # those that run now
_POLL_INTERVAL = 0.005  # seconds between two looks at the log
_START_TIMEOUT = 60.0  # seconds for all processes of an edge to start, on a busy machine
_BAD = ("crash", "worker_crash", "worker_died", "tls_crash", "tls_died", "supervisor_error", "supervisor_lost")


class Edge:
    """A `splicer run`; see `running`."""

    def __init__(
        self,
        text: str,
        site: Site,
        directory: Path,
        environ: Mapping[str, str],
        descriptors: int,
        options: Sequence[str] = (),
        code: Path | None = None,
    ) -> None:
        self.site = site
        self.killed = False
        self.scraped = 0.0  # when, on the clock of `time.monotonic`
        self.path = directory / "routing.toml"
        self.write(text)
        self.lines: list[Line] = []
        self.noise: list[bytes] = []
        self._mark = 0
        self._stderr = (directory / "stderr").open("w+b")

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.process = subprocess.Popen(
            [sys.executable, "-m", "splicer", "run", "-c", str(self.path), *options],
            cwd=code,
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
        """The supervisor's pid."""
        return self.process.pid

    @property
    def workers(self) -> list[int]:
        """The processes that serve, in the order of their slots."""
        titles = {pid: re.fullmatch(r"splicer: worker (\d+)", title) for pid, title in session_of(self.pid)}
        return [pid for _, pid in sorted((int(found[1]), pid) for pid, found in titles.items() if found)]

    @property
    def worker(self) -> int:
        """The serving worker; most edges of these tests have only one."""
        [pid] = self.workers
        return pid

    @property
    def url(self) -> str:
        return f"ws://{self.address[0]}:{self.address[1]}"

    def write(self, text: str) -> None:
        """Replace the routing.toml."""
        self.path.write_text(text, encoding="utf-8")

    def signal(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    async def reload(self, text: str) -> Line:
        """Write a file, send SIGHUP, and wait for the "reload" or "reload_failed" line."""
        self.mark()
        self.write(text)
        self.signal(signal.SIGHUP)
        return await self.line(("reload", "reload_failed"))

    async def exit_code(self) -> int:
        """Wait for the process to end."""
        await until(lambda: self.process.poll() is not None)
        self._reader.join(TIMEOUT)
        return self.process.returncode

    def mark(self) -> None:
        """Let `line` and `find` ignore the lines so far."""
        self._mark = len(self.lines)

    def find(self, event: str | tuple[str, ...], **fields: object) -> list[Line]:
        """All log lines with this event (or one of several) and these fields."""
        events = (event,) if isinstance(event, str) else event
        return [
            line
            for line in self.lines[self._mark :]
            if line.get("event") in events and all(line.get(key) == value for key, value in fields.items())
        ]

    async def line(self, event: str | tuple[str, ...], **fields: object) -> Line:
        """Wait for the first such line."""
        return (await self.wait_lines(1, event, **fields))[0]

    async def wait_lines(self, count: int, event: str | tuple[str, ...], **fields: object) -> list[Line]:
        """Wait for at least `count` such lines."""
        try:
            await until(lambda: self.noise or len(self.find(event, **fields)) >= count)
            assert not self.noise
        except AssertionError:
            raise AssertionError(
                f"not {count} {event} {fields} among {self.lines[self._mark :]} {self.noise}"
            ) from None
        return self.find(event, **fields)

    def open_files(self, pid: int | None = None) -> list[str]:
        """The open files of a process (default: the worker): "socket:[4711]", "pipe:[12]" ..."""
        links = []
        for descriptor in Path(f"/proc/{pid or self.worker}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since
                links.append(str(descriptor.readlink()))
        return links

    def descriptors(self, kind: str = "", pid: int | None = None) -> int:
        """The number of open descriptors of a kind, "socket" or "pipe", of a process (default: the worker)."""
        return sum(link.startswith(kind) for link in self.open_files(pid))

    def memory(self, key: str = "VmRSS", pid: int | None = None) -> int:
        """A line of /proc/PID/status, in bytes (default: the worker's)."""
        status = Path(f"/proc/{pid or self.worker}/status").read_text()
        return int(status.partition(f"{key}:")[2].split()[0]) * 1024

    def cpu_seconds(self, pid: int | None = None) -> float:
        """The CPU time of a process so far (default: the worker's)."""
        words = Path(f"/proc/{pid or self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    async def comes_to_rest(self, sockets: int) -> None:
        """Wait until no connection is left, neither a client's nor a pod's.

        Args:
            sockets: how many there were at rest.
        """
        await until(lambda: self.descriptors("socket") <= sockets)
        async with dial(self.address) as wire:
            with trio.fail_after(TIMEOUT):
                active = 0
                while active != 1:
                    await wire.send(request("GET", "/status"))
                    active = int((await wire.reply()).body.split()[2])
                    await trio.sleep(_POLL_INTERVAL)

    async def expected(self, count: int, event: str, **fields: object) -> list[Line]:
        """Wait for error lines that are expected in this test, and take them out of the log."""
        seen = (await self.wait_lines(count, event, **fields))[:count]
        self.lines[:] = [line for line in self.lines if not any(line is one for one in seen)]
        return seen

    def take_stderr(self) -> str:
        """Take the text on stderr, which is expected in this test."""
        self._stderr.seek(0)
        told = self._stderr.read().decode()
        self._stderr.truncate(0)
        self._stderr.seek(0)
        return told

    def kill(self) -> None:
        """SIGKILL all processes, and wait for their ends; `check` does not count that as a fault."""
        self.killed = True
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        while left := session_of(self.pid):  # such as were just being started
            for pid, _ in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def check(self) -> None:
        """Check what must hold for every edge at any time."""
        bad = [line for line in self.lines if line.get("event") in _BAD]
        assert not bad, bad
        assert not self.noise, "stdout has lines that are no JSON"
        self._stderr.seek(0)
        told = self._stderr.read()
        assert not told, f"stderr is not empty: {told[-2000:]!r}"

    def close(self) -> None:
        """Stop the edge by SIGINT, or else by SIGKILL, and check it."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
                self.process.wait(TIMEOUT)
            self.reading.set()
            self._reader.join(TIMEOUT)
            assert self.process.returncode == (-signal.SIGKILL if self.killed else 0)
            assert not session_of(self.pid), "a process has stayed"
            self.check()
        finally:
            self._discard()

    def _discard(self) -> None:
        self.process.kill()
        self.process.wait()
        for pid, _ in session_of(self.pid):  # it was not there to stop them
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.reading.set()
        self._reader.join(TIMEOUT)
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
        late = time.monotonic() + _START_TIMEOUT
        while not (ready := self.find("ready")):
            if self.process.poll() is not None or time.monotonic() > late:
                self._stderr.seek(0)
                told = self._stderr.read().decode()
                self._discard()
                raise AssertionError(f"no edge: {told}{self.noise}")
            time.sleep(_POLL_INTERVAL)
        host, _, port = ready[0]["listen"][0].rpartition(":")
        return host, int(port)


def session_of(leader: int) -> list[tuple[int, str]]:
    """All living processes of a session (setsid(2)), and their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended since
                words = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(words[3]) == leader and words[0] != "Z":
                    title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append((int(entry.name), title.strip()))
    return found


@contextmanager
def running(
    text: str,
    site: Site,
    *,
    environ: Mapping[str, str] | None = None,
    descriptors: int = 0,
    options: Sequence[str] = (),
    code: Path | None = None,
) -> Iterator[Edge]:
    """Run an edge.

    Args:
        text: its routing.toml.
        site: the addresses that it knows.
        environ: what its environment has besides ours.
        descriptors: RLIMIT_NOFILE, soft and hard; 0 leaves ours.
        options: of `splicer run`, besides its file.
        code: the directory that has the package; None: the one that is being tested.
    """
    with tempfile.TemporaryDirectory() as directory:
        edge = Edge(text, site, Path(directory), environ or {}, descriptors, options, code)
        ALL.append(edge)
        try:
            yield edge
        finally:
            ALL.remove(edge)
            edge.close()
