"""The interface of a peer: a program that is started for a job, and then is a tree of processes."""

from __future__ import annotations

import abc
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import frozen

Address = tuple[str, int]


@frozen
class Job:
    """The task of every peer; each is configured as its experts would do it.

    - ``GET /ws/pod/{pod}/{rest}`` goes to the pod of that name, as ``/{rest}``, and may become a WebSocket;
    - ``/api/v1/…`` goes to the first pod, which is also the smart router, over kept connections; path unchanged;
    - ``GET /health`` is answered by the proxy itself: 200.

    Args:
        pods: names and addresses; a name server has ``{name}.{domain}`` for each.
        port: of all pods.
        nameserver: of all lookups; a peer may cache an answer for 10 s.
        domain: the suffix of all names.
        routes: the number of further routes before the pods' route; each has a prefix (``/other-1/`` and so on) and
            leads to the first pod.
        workers: the number of worker processes or threads.
        certificate: a directory with the files of `bench.certificate`: clients come by TLS 1.3; None: they don't.
    """

    pods: tuple[tuple[str, str], ...]
    port: int
    nameserver: Address
    domain: str = "pods.bench"
    routes: int = 0
    workers: int = 1
    certificate: Path | None = None


class Proxy(abc.ABC):
    """A running peer."""

    address: Address

    @abc.abstractmethod
    def pids(self) -> list[int]:
        """All its live processes."""

    @abc.abstractmethod
    def workers(self) -> list[int]:
        """The processes that carry calls; a scenario kills them to see whether calls are lost."""

    @abc.abstractmethod
    def reload(self) -> None:
        """Reload its configuration as its operators do; returns as soon as the reload is requested."""


class Peer(abc.ABC):
    """A program that is measured.

    Args:
        name: as on the command line: "nginx-tuned".
        title: as in the report.
    """

    name: str
    title: str

    @abc.abstractmethod
    def missing(self) -> str | None:
        """Why it can't be run here, and how to install it, in one line; None if it can."""

    @abc.abstractmethod
    def version(self) -> str:
        """The version that the program prints."""

    @abc.abstractmethod
    def running(self, job: Job, cpus: Collection[int]) -> AbstractContextManager[Proxy]:
        """Run it on these processors: it serves once the context is entered; all its processes have ended on exit.

        Raises:
            PeerFailed: it did not start, or ended by itself; the message has its output.
        """


class PeerFailed(Exception):
    """A peer failed; the message has one line."""


class Corrupt(PeerFailed):
    """The bytes that came back through a peer were not the bytes that were sent."""
