"""HAProxy; https://docs.haproxy.org/2.6/configuration.html."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from bench.certificate import BOTH
from bench.peers.process import Tree
from bench.peers.program import Program
from bench.peers.template import routes

_KNOWN = "    server {pod} {pod}.{job.domain}:{job.port} resolvers names resolve-prefer ipv4 init-addr none\n"


class Haproxy(Tree):
    """A master and its worker, as its service units start it."""

    software = Program("haproxy", "apt-get install haproxy", "-v", r"version (\S+)")

    def configure(self) -> Sequence[str]:
        """Write the configuration, with a map for the further routes."""
        (self.home / "routes.map").write_text(routes(self.job, "PREFIX router\n"), encoding="utf-8")
        known = "".join(_KNOWN.format(pod=name, job=self.job) for name, _ in self.job.pods)
        files = self.job.certificate
        tls = "" if files is None else f" ssl crt {files / BOTH} ssl-min-ver TLSv1.3 alpn http/1.1"
        return ["-W", "-f", self.write("haproxy.cfg", "haproxy.cfg", known=known, tls=tls)]

    def workers(self) -> list[int]:
        """All processes except the master; after a reload also the old workers, until their calls end."""
        return [pid for pid in self.pids() if pid != self.leader.pid]

    def reload(self) -> None:
        """Have the master re-execute itself and start another worker (management guide, 4)."""
        self.leader.send_signal(signal.SIGUSR2)
