"""The programs that are measured side by side: splicer and its alternatives."""

from __future__ import annotations

from bench.peers.base import Peer
from bench.peers.caddy import Caddy
from bench.peers.envoy import Envoy
from bench.peers.haproxy import Haproxy
from bench.peers.local import Local
from bench.peers.nginx import Nginx
from bench.peers.splicer import Splicer

ALL: tuple[Peer, ...] = (
    Local("splicer", "splicer", Splicer),
    Local("nginx", "nginx", Nginx),
    Local("nginx-tuned", "nginx, tuned", Nginx),
    Local("envoy", "Envoy", Envoy),
    Local("haproxy", "HAProxy", Haproxy),
    Local("caddy", "Caddy", Caddy),
)
