"""A peer as a tree of processes: starts it on its processors, waits until it serves, and ends all its processes."""

from __future__ import annotations

import abc
import http.client
import os
import resource
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from bench.certificate import NAME
from bench.machine import pinned
from bench.peers.base import Address, Job, PeerFailed, Proxy
from bench.peers.program import Software
from bench.peers.template import fill, free_address

_TIMEOUT = 60.0  # seconds until it serves: a busy machine needs long
_POLL_INTERVAL = 0.01  # seconds between two polls
_LINES = 5  # characters of its output
_IMPATIENT = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
# Exit codes after a scenario has killed it; the second is that of a master that ends with its worker.
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


class Tree(Proxy):
    """All processes of a session (setsid(2)); a context manager.

    Args:
        name: the peer's.
        job: what it has to do.
        home: the peer's directory, with its configuration and its output.
        cpus: the processors of all its processes.

    Raises:
        PeerFailed: it does not serve within 60 s; or, on exit, it had already ended.
    """

    software: ClassVar[Software]
    cwd: Path | None = None  # working directory; None: that of this process

    def __init__(self, name: str, job: Job, home: Path, cpus: Collection[int]) -> None:
        self.address = free_address()
        self.name = name
        self.job = job
        self.home = home
        self._said = home / "stderr"
        arguments = self.configure()
        with pinned(cpus), self._said.open("wb") as said:
            self.leader = subprocess.Popen(  # noqa: S603 - our own
                [self.software.path, *arguments],
                env={**os.environ, **self.environ()},
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        try:
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.prlimit(self.leader.pid, resource.RLIMIT_NOFILE, (most, most))
            self._wait()
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        code = self.leader.poll()
        self._end()
        if kind is None and code is not None and code not in _KILLED:
            raise self._failed(f"ended by itself ({code})")

    @abc.abstractmethod
    def configure(self) -> Sequence[str]:
        """Write its configuration for the job, and return its command line; it must answer GET /health."""

    def environ(self) -> Mapping[str, str]:
        """The variables that its environment has in addition to ours."""
        return {}

    def write(self, file: str, template: str, **values: str) -> str:
        """Write a file in its home from a template; see `fill`.

        Returns:
            The file's whole path.
        """
        path = self.home / file
        path.write_text(fill(template, self.job, self.address, self.home, **values), encoding="utf-8")
        return str(path)

    def pids(self) -> list[int]:
        """All its live processes."""
        return [pid for pid, _ in session_of(self.leader.pid)]

    def workers(self) -> list[int]:
        """The processes that carry calls: its only process, unless a subclass knows others."""
        return [self.leader.pid] if self.leader.poll() is None else []

    def _wait(self) -> None:
        late = time.monotonic() + _TIMEOUT
        while not serves(self.address, tls=self.job.certificate is not None):
            if (code := self.leader.poll()) is not None:
                raise self._failed(f"did not start ({code})")
            if time.monotonic() > late:
                raise self._failed(f"did not answer within {_TIMEOUT:g} s")
            time.sleep(_POLL_INTERVAL)

    def _failed(self, what: str) -> PeerFailed:
        lines = self._said.read_text(errors="replace").splitlines()[-_LINES:]
        return PeerFailed(f"{self.name} {what}: {' | '.join(lines)}")

    # A process that starts while others are killed is found in the next pass. No signal may interrupt this loop.
    def _end(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _IMPATIENT)
        try:
            while left := self.pids():
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.leader.poll()
                time.sleep(_POLL_INTERVAL)
            self.leader.wait()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serves(address: Address, *, tls: bool = False) -> bool:
    """Whether GET /health gets a 200 from this address."""
    line = _https(address) if tls else http.client.HTTPConnection(*address, timeout=1.0)
    try:
        line.request("GET", "/health")
        return line.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def _https(address: Address) -> http.client.HTTPConnection:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    line = http.client.HTTPSConnection(NAME, timeout=1.0, context=context)
    line._create_connection = lambda _, *more: socket.create_connection(address, *more)  # type: ignore[attr-defined]
    return line


def session_of(leader: int) -> list[tuple[int, str]]:
    """All live processes of a session, with their command lines; proc(5)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended in the meantime
                words = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(words[3]) == leader and words[0] not in "ZX":
                    title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append((int(entry.name), title.strip()))
    return sorted(found)
