"""An edge with a TLS and a plain listener: `/ws1/{pod}/` leads to plain pods, `/tls/{pod}/` to such with TLS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.kit.edge import Edge, running
from tests.kit.site import Site
from tests.kit.tls import NAME, Certificates, tls_text


@contextmanager
def edge_with(certificates: Certificates, site: Site) -> Iterator[Edge]:
    routes = f"""
[upstreams.tls]
address = "{{pod}}.pods.test:{site.port}"
allow = ["127.0.0.0/8"]
tls = {{ ca = "{certificates.ca}" }}
[[routes]]
name = "tls"
regex = '^/tls/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "tls"
"""
    text = tls_text(site.toml(routes), [certificates.folder("edge", NAME)])
    text = text.replace("listen = {", "listen = [{").replace('tls = "edge" }', 'tls = "edge" }, "127.0.0.2:0"]', 1)
    with running(text.replace('admin = "off"', 'admin = "off"\nworkers = 2\ntls_workers = 3'), site) as edge:
        yield edge


def plain_address(edge: Edge) -> tuple[str, int]:
    """Where clients without TLS come."""
    host, _, port = edge.find("ready")[0]["listen"][1].rpartition(":")
    return host, int(port)
