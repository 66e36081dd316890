"""nginx, twice: with the sizes that it has by itself, and tuned; https://nginx.org/en/docs/."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from bench.peers.base import Job, Peer
from bench.peers.process import Tree, session_of
from bench.peers.program import Program
from bench.peers.template import fill, free_address, home_of, routes

_NGINX = Program("nginx", "apt-get install nginx-light (or nginx)", "-v", r"nginx/(\S+)")
_ROUTE = """
        location PREFIX {
            proxy_pass http://router;
        }
"""


class Nginx(Peer):
    """Of one of the two configurations.

    Args:
        name: as on the command line; its template is called so too.
        title: as in the report.
    """

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        self.title = title

    def missing(self) -> str | None:
        """Why it can't be run here, and how it is installed."""
        return _NGINX.missing()

    def version(self) -> str:
        """As it tells itself."""
        return _NGINX.version()

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Tree]:
        """Run it; see `Peer.running`."""
        with home_of(self.name) as home:
            address = free_address()
            # By itself root's workers become "nobody", who may not look into the directory.
            user = "user root;" if os.geteuid() == 0 else ""
            text = fill(f"{self.name}.conf", job, address, home, user=user, routes=routes(job, _ROUTE))
            config = home / "nginx.conf"
            config.write_text(text, encoding="utf-8")
            command = [_NGINX.path, "-e", "stderr", "-p", str(home), "-c", str(config)]
            with _Running(self.name, command, address, home, cpus) as proxy:
                yield proxy


class _Running(Tree):
    def workers(self) -> list[int]:
        """Those that accept; one that only finishes its calls after a reload has another title."""
        return [pid for pid, title in session_of(self.leader.pid) if title == "nginx: worker process"]

    def reload(self) -> None:
        """As ``nginx -s reload``."""
        self.leader.send_signal(signal.SIGHUP)
