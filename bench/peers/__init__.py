"""All who are measured side by side: splicer, and those that one would take instead."""

from __future__ import annotations

from collections.abc import Iterable

from bench.peers.base import Peer
from bench.peers.caddy import Caddy
from bench.peers.envoy import Envoy
from bench.peers.haproxy import Haproxy
from bench.peers.nginx import Nginx
from bench.peers.splicer import Splicer

ALL: tuple[Peer, ...] = (
    Splicer(),
    Nginx("nginx", "nginx"),
    Nginx("nginx-tuned", "nginx, tuned"),
    Envoy(),
    Haproxy(),
    Caddy(),
)


def named(names: Iterable[str]) -> list[Peer]:
    """The peers of these names, in that order.

    Raises:
        ValueError: no peer is called so; one line.
    """
    known = {peer.name: peer for peer in ALL}
    asked = list(names)
    if unknown := [name for name in asked if name not in known]:
        raise ValueError(f"no peer is called {unknown[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in asked]
