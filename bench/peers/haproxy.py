"""HAProxy; https://docs.haproxy.org/2.6/configuration.html."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from bench.peers.base import Job, Peer
from bench.peers.process import Tree
from bench.peers.program import Program
from bench.peers.template import fill, free_address, home_of, routes

_HAPROXY = Program("haproxy", "apt-get install haproxy", "-v", r"version (\S+)")
_KNOWN = "    server {pod} {pod}.{job.domain}:{job.port} resolvers names resolve-prefer ipv4 init-addr none\n"


class Haproxy(Peer):
    """A master and its worker, as its service units start it."""

    name = "haproxy"
    title = "HAProxy"

    def missing(self) -> str | None:
        """Why it can't be run here, and how it is installed."""
        return _HAPROXY.missing()

    def version(self) -> str:
        """As it tells itself."""
        return _HAPROXY.version()

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Tree]:
        """Run it; see `Peer.running`."""
        with home_of(self.name) as home:
            address = free_address()
            (home / "routes.map").write_text(routes(job, "PREFIX router\n"), encoding="utf-8")
            config = home / "haproxy.cfg"
            known = "".join(_KNOWN.format(pod=name, job=job) for name, _ in job.pods)
            config.write_text(fill("haproxy.cfg", job, address, home, known=known), encoding="utf-8")
            with _Running(self.name, [_HAPROXY.path, "-W", "-f", str(config)], address, home, cpus) as proxy:
                yield proxy


class _Running(Tree):
    def workers(self) -> list[int]:
        """All but the master; after a reload also those that only finish their calls."""
        return [pid for pid in self.pids() if pid != self.leader.pid]

    def reload(self) -> None:
        """Have the master execute itself anew and start another worker (management guide, 4)."""
        self.leader.send_signal(signal.SIGUSR2)
