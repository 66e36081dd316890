"""Pods and clients as the bench's own process starts, leads and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.traffic.dial import Address

_ROOT = Path(__file__).parents[2]
_READY_TIMEOUT = 60.0  # seconds until all tunnels are open
_RESULT_GRACE_SECONDS = 30.0  # seconds that a result may come after its time
_END_TIMEOUT = 5.0  # seconds that an orderly end may take


class TrafficFailed(Exception):
    """A pod or client process did not do as it should; one line."""


class Child:
    """``python -m bench.traffic …`` on processors of its own; killed with its children when the context is left.

    Args:
        arguments: the mode and what follows it.
        cpus: processors that it may use.
    """

    def __init__(self, arguments: Sequence[str], cpus: Collection[int]) -> None:
        self._mode = arguments[0]
        self._arguments = [sys.executable, "-m", "bench.traffic", *arguments]
        self._cpus = cpus
        self._came = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            self._arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            cwd=_ROOT,
            start_new_session=True,
        )
        try:
            os.sched_setaffinity(self._process.pid, self._cpus)  # its children inherit it
        except OSError as error:
            self.__exit__(None, None, None)
            raise TrafficFailed(f"{self._mode}: processors {sorted(self._cpus)}: {error}") from error
        return self

    # The group is killed before the leader is waited for: until then nobody else can have its number.
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._running
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout:
            process.stdout.read()  # its end comes when the last of the group is gone, with all that it had open
        for stream in (process.stdin, process.stdout, self._stderr):
            if stream:
                stream.close()
        process.wait()

    @property
    def pid(self) -> int:
        """Of the first of its processes."""
        return self._running.pid

    def wait_ready(self, timeout: float = _READY_TIMEOUT) -> None:
        """Return when it is set up: pods listen, all tunnels are open.

        Args:
            timeout: seconds.

        Raises:
            TrafficFailed: it is not, with what it said.
        """
        if (line := self._line(timeout)) != "ready":
            raise TrafficFailed(f"{self._mode}: said {line!r}, not 'ready'")

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise TrafficFailed(f"{self._mode}: not started")
        return self._process

    def _say(self, line: str) -> None:
        stdin = self._running.stdin
        # A process that is gone is found out, with its reason, by whoever waits for its next line.
        with contextlib.suppress(BrokenPipeError):
            if stdin:
                stdin.write(line.encode() + b"\n")

    def _line(self, timeout: float) -> str:
        until = time.monotonic() + timeout
        stdout = self._running.stdout
        while stdout and b"\n" not in self._came:
            if not select.select([stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TrafficFailed(f"{self._mode}: said nothing for {timeout:g} s")
            if not (data := os.read(stdout.fileno(), 65536)):
                raise TrafficFailed(self._last_words())
            self._came += data
        line, _, self._came = self._came.partition(b"\n")
        return line.decode()

    def _last_words(self) -> str:
        code = self._running.wait(_END_TIMEOUT)
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"{self._mode}: ended with {code}, and said nothing"


class Client(Child):
    """A client process: ``with Client("even", address, ["/call"], {1}, seconds=5, tunnels=200) as client: …``.

    Args:
        mode: "voice", "burst", "even", "saturate", "bulk", "handshakes", "idle" or "http".
        address: of the proxy, or of a pod.
        targets: paths, used in turn.
        cpus: processors that it may use.
        seconds: to run for.
        options: of the command line: tunnels, rate, bytes, clients, listen, processes.
    """

    def __init__(
        self,
        mode: str,
        address: Address,
        targets: Sequence[str],
        cpus: Collection[int],
        *,
        seconds: float,
        **options: float | str,
    ) -> None:
        host, port = address
        further = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        super().__init__(
            [mode, host, str(port), "--targets", ",".join(targets), "--seconds", str(seconds), *further], cpus
        )
        self._seconds = seconds

    def go(self) -> None:
        """Start the run; returns at once."""
        self._say("go")

    def result(self) -> dict[str, Any]:
        """Wait for the end of the run; tunnels stay open.

        Raises:
            TrafficFailed: there is no result, with what the client said.
        """
        told: dict[str, Any] = json.loads(self._line(self._seconds + _RESULT_GRACE_SECONDS))
        return told

    def end(self) -> None:
        """Have it close its tunnels, and wait until it is gone."""
        self._say("end")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._running.wait(_END_TIMEOUT)


@contextlib.contextmanager
def pods(
    port: int,
    cpus: Collection[int],
    processes: int = 1,
    *,
    host: str = "0.0.0.0",  # noqa: S104 - all of 127.0.0.0/8 are pods
) -> Iterator[Child]:
    """Pods that serve when the context is entered, and are gone when it is left.

    Args:
        port: of all of them.
        cpus: processors that they may use.
        processes: that share the listener.
        host: one address, or all.

    Raises:
        TrafficFailed: they don't serve, with what they said.
    """
    arguments = ["pods", host, str(port), "--processes", str(processes)]
    with Child(arguments, cpus) as child:
        child.wait_ready()
        yield child
