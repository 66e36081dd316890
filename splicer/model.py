"""The values that are passed between the parts of splicer, without I/O, and frozen.

A request head leads to a `Match`, a match to attempts at `Endpoint`s, and the outcome goes into a `Record` (record.py).
Durations are seconds (float, `math.inf` for "never"), sizes are bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from attrs import field, frozen

from splicer.authorization import Authorize
from splicer.edits import Edits, Redirect
from splicer.health import HealthCheck, OutlierDetection
from splicer.hook_settings import HookSettings
from splicer.patterns import Condition, HashOn, PathPattern, Template
from splicer.pod_tls import PodTls
from splicer.quick_frozen import quick_frozen
from splicer.rates import RateLimit

Header = tuple[bytes, bytes]
Headers = tuple[Header, ...]
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def authority(host: str, port: int | str) -> str:
    """Host and port as in a URL; an IPv6 address gets brackets (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@quick_frozen
class RequestHead:
    """A request head that passed every check of `http1.request`.

    Args:
        method: as received (methods are case-sensitive, RFC 9110 §9.1).
        target: the request target exactly as received.
        path: its path, with percent-encoding as received.
        query: the text after the first "?", or None without one.
        host: the authority that the request is for, as received ("" for HTTP/1.0 without Host).
        version: "1.0" or "1.1".
        headers: all fields in order, names in their original case.
        content_length: of the body in bytes; None without Content-Length.
        chunked: the body is framed by Transfer-Encoding: chunked.
    """

    method: str
    target: str
    path: str
    query: str | None
    host: str
    version: str
    headers: Headers
    content_length: int | None = None
    chunked: bool = False
    _values: Mapping[bytes, list[bytes]] = field(init=False, eq=False, repr=False)  # by name in lower case

    # Several fields of every head are asked for, most of which it doesn't have.
    @_values.default
    def _by_name(self) -> Mapping[bytes, list[bytes]]:
        found: dict[bytes, list[bytes]] = {}
        for name, value in self.headers:
            found.setdefault(name.lower(), []).append(value)
        return found

    @property
    def has_body(self) -> bool:
        """Whether the head announces a body that may not be empty."""
        return self.chunked or bool(self.content_length)

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, in order; `name` in lower case."""
        return self._values.get(name, [])


@quick_frozen
class ResponseHead:
    """A pod's response head: the fields in order, names in their original case."""

    status: int
    reason: bytes
    version: str
    headers: Headers

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, in order; `name` in lower case."""
        return [value for key, value in self.headers if key.lower() == name]


@frozen
class Endpoint:
    """One pod's address.

    Args:
        pod: its name in logs and in `X-Splicer-Fallback-From`.
        address: a numeric IP address.
        port: the TCP port.
    """

    pod: str
    address: str
    port: int
    _text: str = field(init=False, eq=False, repr=False)

    @_text.default
    def _as_text(self) -> str:
        return authority(self.address, self.port)

    def __str__(self) -> str:
        return self._text


@frozen
class Deadlines:
    """The deadlines of design §7, all in seconds; `math.inf` is "never"."""

    head: float = 10.0
    resolve: float = 2.0
    connect: float = 3.0
    handshake: float = 10.0
    authorize: float = 2.0
    attempts: float = 15.0
    response: float = math.inf
    response_idle: float = 60.0
    body_idle: float = 60.0
    idle: float = 3600.0
    half_closed: float = 30.0
    lifetime: float = math.inf
    keepalive: float = 75.0
    drain: float = 3600.0
    tls: float = 10.0


@frozen
class Service:
    """A Service of Kubernetes, and one of its ports: what an upstream's address names.

    Args:
        namespace: the Service's namespace.
        name: its name.
        port: the port of its pods, or the port's name.
        of_pod: whether the address names one of its pods: its first label is the pod's name.
    """

    namespace: str
    name: str
    port: int | str
    of_pod: bool = False
    key: str = field(init=False, eq=False, repr=False)

    @key.default
    def _key(self) -> str:
        return f"{self.namespace}/{self.name}:{self.port}"

    def __str__(self) -> str:
        return self.key


@frozen(cache_hash=True)  # it is a part of the keys of caches that each request asks
class Upstream:
    """An ``[upstreams.NAME]`` table of routing.toml.

    Args:
        name: its key under ``[upstreams]``.
        host: the host template; its captures must each be one DNS label.
        port: the TCP port, never from a capture; 0: the Service's port has a name.
        allow: networks that a resolved address must be in; None allows any unicast address that is neither
            loopback, link-local nor a metadata address (design §5).
        balance: "least-tunnels", "round-robin" or "random".
        proxy_protocol: "v1" or "v2": each connection begins with such a header; None: with none.
        max_tunnels: the most tunnels at one endpoint, over all workers; None: no limit.
        max_requests: the most plain requests at one endpoint; None: no limit.
        slow_start: for so long a pod that has become ready counts as busier than it is, in seconds; None: for no time.
        service: the Service whose endpoints are asked of Kubernetes; None: they are asked of DNS.
        outlier_detection: when an endpoint is ejected; None: never.
        health_check: how its endpoints are checked; None: they are not.
        tls: how its pods are spoken to by TLS; None: they are not.
    """

    name: str
    host: Template
    port: int
    allow: tuple[Network, ...] | None = None
    balance: str = "least-tunnels"
    proxy_protocol: str | None = None
    max_tunnels: int | None = None
    max_requests: int | None = None
    slow_start: float | None = None
    service: Service | None = None
    outlier_detection: OutlierDetection | None = None
    health_check: HealthCheck | None = None
    tls: PodTls | None = None
    is_judged: bool = field(init=False, eq=False, repr=False)  # endpoints may be ejected or unhealthy

    @is_judged.default
    def _is_judged(self) -> bool:
        return self.outlier_detection is not None or self.health_check is not None

    @property
    def port_text(self) -> int | str:
        """The port as the file has it: its number, or its name."""
        return self.port or (self.service.port if self.service is not None else 0)

    @property
    def names_pod(self) -> bool:
        """Whether a rendered host begins with the name of a pod."""
        return bool(self.host.captures) or (self.service is not None and self.service.of_pod)

    @property
    def text(self) -> str:
        """The address as the file has it."""
        return authority(self.host.text, self.port_text)

    def limit(self, *, tunnel: bool) -> int | None:
        """The most tunnels, or else plain requests, at one endpoint; None: no limit."""
        return self.max_tunnels if tunnel else self.max_requests


@frozen
class Split:
    """Several upstreams that share a route's requests.

    Args:
        shares: each with its weight, in the file's order; the weights' sum is above 0.
        hash_on: what chooses; None: chance.
    """

    shares: tuple[tuple[Upstream, int], ...]
    hash_on: HashOn | None = None


@frozen
class Respond:
    """An answer that needs no pod.

    Args:
        status: the HTTP status.
        body: the whole body.
        content_type: of the body.
        headers: further fields.
        draining: the answer during a drain; None: this one.
        unprotected: the answer while calls would be lost if their worker died; None: this one.
    """

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Headers = ()
    draining: Respond | None = None
    unprotected: Respond | None = None


class StatusPage(StrEnum):
    """`respond = "status"`: nginx's stub_status page."""

    STUB_STATUS = "status"


@frozen
class Route:
    """One ``[[routes]]`` table, compiled.

    Exactly one of `respond`, `redirect` and `upstream` is set; beside a `split`, `upstream` is its first one. `hosts`
    are in lower case without a port ("*.suffix" matches any name below it); `methods`, `hosts` and `origins` empty mean
    any; `clients` and `scheme` None mean any, `max_tunnels` None no limit. `encoded_slash` is "refuse" or "forward";
    `strip_prefix` is in normal form; `body_bytes` None means that of ``[limits]``, `math.inf` no limit.
    """

    index: int
    name: str
    pattern: PathPattern
    deadlines: Deadlines
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    scheme: str | None = None
    headers: tuple[Condition, ...] = ()
    query: tuple[Condition, ...] = ()
    clients: tuple[Network, ...] | None = None
    client_names: tuple[str, ...] = ()
    clients_deny: tuple[Network, ...] = ()
    encoded_slash: str = "forward"
    rate_limit: RateLimit | None = None
    log: bool = True
    respond: Respond | StatusPage | None = None
    hooks: tuple[HookSettings, ...] = ()
    authorize: Authorize[Upstream] | None = None
    redirect: Redirect | None = None
    edits: Edits | None = None
    upstream: Upstream | None = None
    split: Split | None = None
    fallback: Upstream | None = None
    fallback_on: frozenset[int] = frozenset({502, 503, 504})
    retries: int = 0
    upgrade: tuple[str, ...] = ()
    upgrade_only: bool = False
    origins: tuple[str, ...] = ()
    max_tunnels: int | None = None
    rewrite: Template | None = None
    strip_prefix: str | None = None
    body_bytes: float | None = None

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """All upstreams to which a first attempt may go."""
        if self.split is not None:
            return tuple(upstream for upstream, _ in self.split.shares)
        return () if self.upstream is None else (self.upstream,)

    @property
    def destinations(self) -> tuple[Upstream, ...]:
        """All upstreams to which an attempt may go."""
        return self.upstreams if self.fallback is None else (*self.upstreams, self.fallback)

    @property
    def later_captures(self) -> frozenset[str]:
        """The captures that hooks and the authorizer give, beside those of the pattern."""
        asked = frozenset[str]() if self.authorize is None else self.authorize.names
        return asked.union(*(hook.captures for hook in self.hooks))

    @property
    def guarded(self) -> bool:
        """Whether some clients are refused: a path that a pod could read differently must not get past the route."""
        return self.clients is not None or bool(self.clients_deny or self.client_names or self.origins)


@quick_frozen
class Match:
    """A route and the captures of its pattern, with percent-encoding as received."""

    route: Route
    captures: Mapping[str, str]
