"""nginx, twice: with its default sizes, and tuned; https://nginx.org/en/docs/."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from bench.certificate import CHAIN, KEY
from bench.peers.process import Tree, session_of
from bench.peers.program import Program
from bench.peers.template import routes

_ROUTE = """
        location PREFIX {
            proxy_pass http://router;
        }
"""


class Nginx(Tree):
    """nginx with one of the two configurations; the peer's name is the template's."""

    software = Program("nginx", "apt-get install nginx-light (or nginx)", "-v", r"nginx/(\S+)")

    def configure(self) -> Sequence[str]:
        """The user of its workers: started by root, they would become "nobody", who can't read the directory."""
        user = "user root;" if os.geteuid() == 0 else ""
        config = self.write(
            "nginx.conf", f"{self.name}.conf", user=user, tls=self._tls(), routes=routes(self.job, _ROUTE)
        )
        return ["-e", "stderr", "-p", str(self.home), "-c", config]

    def _tls(self) -> str:
        if (files := self.job.certificate) is None:
            return ""
        lines = f"ssl_certificate {files / CHAIN};", f"ssl_certificate_key {files / KEY};", "ssl_protocols TLSv1.3"
        return " ssl;\n        " + "\n        ".join(lines)

    def workers(self) -> list[int]:
        """The workers that accept; an old worker that only finishes its calls after a reload has another title."""
        return [pid for pid, title in session_of(self.leader.pid) if title == "nginx: worker process"]

    def reload(self) -> None:
        """Reload as ``nginx -s reload`` does."""
        self.leader.send_signal(signal.SIGHUP)
