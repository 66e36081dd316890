"""What a peer is to the bench: a program that can be started for the job, and is a tree of processes from then on."""

from __future__ import annotations

import abc
from collections.abc import Collection
from contextlib import AbstractContextManager

from attrs import frozen

Address = tuple[str, int]


@frozen
class Job:
    """What every peer has to do, as its own experts would have it done.

    - ``GET /ws/pod/{pod}/{rest}`` goes to the pod of that name, as ``/{rest}``, and may become a WebSocket;
    - ``/api/v1/…`` goes to the first pod, which is the smart router as well, over kept connections, path kept;
    - ``GET /health`` is answered by the proxy itself: 200.

    Args:
        pods: names and addresses; a name server has ``{name}.{domain}`` for each.
        port: of all pods.
        nameserver: where names are looked up; a peer may remember an answer for 10 s.
        domain: the suffix of all names.
        routes: so many further routes (a prefix each, ``/other-1/`` and so on, to the first pod) stand in front of the
            pods' route.
        workers: worker processes, or threads.
    """

    pods: tuple[tuple[str, str], ...]
    port: int
    nameserver: Address
    domain: str = "pods.bench"
    routes: int = 0
    workers: int = 1


class Proxy(abc.ABC):
    """A peer that runs."""

    address: Address

    @abc.abstractmethod
    def pids(self) -> list[int]:
        """All of its processes that live."""

    @abc.abstractmethod
    def workers(self) -> list[int]:
        """Those that carry calls: what is killed to see what becomes of them."""

    @abc.abstractmethod
    def reload(self) -> None:
        """Have it take up its configuration anew, as its operators do; returns when it has been told."""


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
        """Why it can't be run here, and how it is installed, in one line; None: it can."""

    @abc.abstractmethod
    def version(self) -> str:
        """As it tells itself."""

    @abc.abstractmethod
    def running(self, job: Job, cpus: Collection[int]) -> AbstractContextManager[Proxy]:
        """Run it on these processors; it serves when the context is entered, and is gone, whole, when it is left.

        Raises:
            PeerFailed: it did not start, or ended by itself; with what it said.
        """


class PeerFailed(Exception):
    """A peer did not do as it should; one line."""


class Corrupt(PeerFailed):
    """What came back through it was not what was sent."""
