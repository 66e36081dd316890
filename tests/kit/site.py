"""Names, addresses and a routing.toml for a test's edge and pods; each site has a loopback network of its own."""

from __future__ import annotations

import random
import socket

from attrs import define, field, frozen


@frozen
class Place:
    """The name and addresses of a pod, which need not exist.

    The edge knows `name` as the name of `address`, and the fallback of a route `{pod}` as both `address` and `twin`.
    """

    name: str
    address: str
    twin: str
    port: int

    @property
    def endpoint(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def twin_endpoint(self) -> str:
        return f"{self.twin}:{self.port}"


@define
class Site:
    """Two networks 127.x.y.0/24, the second one for twins, and one port for all of the pods: 240 at most."""

    first: tuple[int, int] = field(factory=lambda: (random.randint(1, 254), random.randint(1, 253)))
    port: int = field(factory=lambda: free_port())
    pods: int = 99
    _taken: int = field(default=0, init=False)

    @property
    def net(self) -> str:
        """The first network, without its last dot; 241 and above are free for other uses."""
        return "127.{}.{}".format(*self.first)

    def take(self) -> Place:
        """Take an unused place."""
        self._taken += 1
        assert self._taken <= self.pods
        return self._place(self._taken)

    def toml(self, routes: str = "", *, deadlines: str = "", extra: str = "") -> str:
        """A routing.toml.

        It has the routes /health, /ready and /status, then these, then the general ones:
        /ws/{pod}/ and /ws1/{pod}/ for WebSockets with and without a fallback,
        /http/{pod}/ and /http2/{pod}/ for plain HTTP without and with one.

        Args:
            routes: further upstreams and routes.
            deadlines: lines for ``[deadlines]``.
            extra: other tables.
        """
        return f"""
[server]
listen = "127.0.0.1:0"
admin = "off"
trusted_proxies = ["127.0.0.9/32"]
[deadlines]
{deadlines}
{extra}
{"" if "[resolver]" in extra else "[resolver]"}
[resolver.hosts]
{self._hosts()}
[upstreams.pod]
address = "{{pod}}.pods.test:{self.port}"
allow = ["127.0.0.0/8"]
[upstreams.any]
address = "{{pod}}.any.test:{self.port}"
allow = ["127.0.0.0/8"]
{_FIXED}
{routes}
{_GENERAL}
"""

    def _place(self, number: int) -> Place:
        x, y = self.first
        return Place(f"agent-{number}", f"127.{x}.{y}.{number}", f"127.{x}.{y + 1}.{number}", self.port)

    def _hosts(self) -> str:
        places = map(self._place, range(1, self.pods + 1))
        return "".join(
            f'"{place.name}.pods.test" = "{place.address}"\n'
            f'"{place.name}.any.test" = ["{place.address}", "{place.twin}"]\n'
            for place in places
        )


def free_port() -> int:
    """A TCP port that is free on every address, outside the range of ephemeral ports."""
    while True:
        port = random.randint(10_000, 30_000)
        with socket.socket() as sock:
            try:
                sock.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port


_FIXED = """
[[routes]]
name = "health"
path = "/health"
respond = { status = 200, body = "healthy\\n" }
[[routes]]
name = "ready"
path = "/ready"
respond = { status = 200, body = "ready\\n", draining = { status = 503, body = "draining\\n" } }
[[routes]]
name = "status"
path = "/status"
respond = "status"
log = false
"""

_GENERAL = """
[[routes]]
name = "ws"
regex = '^/ws/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
rewrite = "{rest}"
fallback = "any"
[[routes]]
name = "ws1"
regex = '^/ws1/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
rewrite = "{rest}"
[[routes]]
name = "http"
regex = '^/http/(?<pod>[^/]+)(?<rest>/.*)$'
upstream = "pod"
rewrite = "{rest}"
[[routes]]
name = "http2"
regex = '^/http2/(?<pod>[^/]+)(?<rest>/.*)$'
upstream = "pod"
rewrite = "{rest}"
fallback = "any"
"""
