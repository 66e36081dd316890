"""Start, control and end the processes of pods and clients."""

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
from bench.traffic.secured import ENVIRON

_ROOT = Path(__file__).parents[2]
_READY_TIMEOUT = 60.0  # seconds until all tunnels are open
_RESULT_GRACE_SECONDS = 30.0  # seconds to wait for a result after the end of the run
_END_TIMEOUT = 5.0  # seconds to wait for an orderly end


class TrafficFailed(Exception):
    """A pod or client process failed; the message has one line."""


class Child:
    """``python -m bench.traffic …`` on given processors; killed with its children on exit.

    Args:
        arguments: the mode and its options.
        cpus: the processors that it may use.
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
            env={**os.environ, **ENVIRON},
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

    # The group is killed before the leader is waited for: until then its number can't be reused.
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._running
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout:
            process.stdout.read()  # it ends when the last process of the group has ended and closed its descriptors
        for stream in (process.stdin, process.stdout, self._stderr):
            if stream:
                stream.close()
        process.wait()

    @property
    def pid(self) -> int:
        """The process id of its first process."""
        return self._running.pid

    def wait_ready(self, timeout: float = _READY_TIMEOUT) -> None:
        """Wait until it is ready: pods listen, all tunnels are open.

        Args:
            timeout: seconds.

        Raises:
            TrafficFailed: it is not ready in time; the message has its output.
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
        # If the process has ended, waiting for its next line reports that, with the reason.
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
        mode: "voice", "burst", "even", "saturate", "bulk", "handshakes", "idle", "http" and so on.
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
        """Start the run, and return at once."""
        self._say("go")

    def result(self) -> dict[str, Any]:
        """Wait for the end of the run; tunnels stay open.

        Raises:
            TrafficFailed: there is no result; the message has the client's output.
        """
        told: dict[str, Any] = json.loads(self._line(self._seconds + _RESULT_GRACE_SECONDS))
        return told

    def end(self) -> None:
        """Have it close its tunnels, and wait until it has ended."""
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
    """A context manager of pods: they serve once it is entered, and have ended on exit.

    Args:
        port: of all of them.
        cpus: processors that they may use.
        processes: the number of processes; they share the listener.
        host: one address, or all.

    Raises:
        TrafficFailed: they don't serve; the message has their output.
    """
    arguments = ["pods", host, str(port), "--processes", str(processes)]
    with Child(arguments, cpus) as child:
        child.wait_ready()
        yield child
