"""A peer that runs on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from bench.peers.base import Job, Peer
from bench.peers.process import Tree
from bench.peers.template import home_of


class Local(Peer):
    """A peer whose processes are one kind of `Tree`.

    Args:
        name: as on the command line.
        title: as in the report.
        kind: the class that configures, runs and reloads it.
    """

    def __init__(self, name: str, title: str, kind: type[Tree]) -> None:
        self.name = name
        self.title = title
        self._kind = kind

    def missing(self) -> str | None:
        """Why it can't be run here, and how to install it."""
        return self._kind.software.missing()

    def version(self) -> str:
        """The version that the program prints."""
        return self._kind.software.version()

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Tree]:
        """Run it; see `Peer.running`."""
        with home_of(self.name) as home, self._kind(self.name, job, home, cpus) as proxy:
            yield proxy
