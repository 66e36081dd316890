"""An edge whose pods' names only a name server of the test knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge, running
from tests.kit.http import Message
from tests.kit.site import Site
from tests.kit.wire import ask, ask_until

ROUTES = """
[upstreams.named]
address = "{pod}.dns.test:PORT"
allow = ["127.0.0.0/8", "::1/128"]
[upstreams.others]
address = "{pod}.others.test:PORT"
allow = ["127.0.0.0/8"]
[[routes]]
name = "call"
regex = '^/call/(?<pod>[^/]+)/x$'
upgrade = ["websocket"]
upstream = "named"
fallback = "others"
[[routes]]
name = "named"
regex = '^/named/(?<pod>[^/]+)/$'
upstream = "named"
[[routes]]
name = "backed"
regex = '^/backed/(?<pod>[^/]+)(?<rest>/.*)$'
upstream = "named"
fallback = "any"
"""


@contextmanager
def dns_edge() -> Iterator[Edge]:
    """Routes to NAME.dns.test: /named/NAME/ for plain HTTP, /call/NAME/x for calls with NAME.others.test behind it.

    An answer is kept for half a second at most, and a lookup may take 800 ms.
    """
    site = Site()
    resolver = f'[resolver]\nnameservers = ["{site.net}.250:{site.port}"]\nmax_ttl = "500ms"\nipv6 = true\n'
    routes = ROUTES.replace("PORT", str(site.port))
    with running(site.toml(routes, deadlines='resolve = "800ms"\nconnect = "2s"', extra=resolver), site) as edge:
        yield edge


async def start_dns(edge: Edge, nursery: trio.Nursery) -> DnsServer:
    """The name server that the edge asks."""
    return await DnsServer.start(nursery, f"{edge.site.net}.250", edge.site.port)


async def get(edge: Edge, name: str, route: str = "named") -> Message:
    """A plain request to a pod by its name."""
    return await ask(edge.address, "GET", f"/{route}/{name}/")


async def served_by(edge: Edge, name: str, address: str) -> None:
    """Ask until this pod answers, as it must within the record's time."""
    await ask_until(edge.address, f"/named/{name}/", lambda reply: reply.body == address.encode())
