"""The values of a checked routing.toml, frozen, with the defaults of design §7.

The keys of the sections are declared here, except for ``[deadlines]`` (`deadlines`); those of a route are in
`route_spec`, of an upstream in `upstreams`, of a `respond` table in `respond`, of ``[tracing]`` in `tracing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from attrs import frozen

from splicer.config import kinds
from splicer.config.addresses import ListenAddress
from splicer.config.discovery import IN_CLUSTER, api_url
from splicer.config.error_pages import ErrorPage
from splicer.config.keys import key
from splicer.config.listener import LISTENERS, Listener
from splicer.config.log_headers import HEADERS
from splicer.config.tls import TlsProfile
from splicer.config.tracing import TracingSettings
from splicer.hook_settings import HookSettings
from splicer.model import Deadlines, Network, Route, Upstream
from splicer.routing.passthrough import Passthrough


@frozen
class ServerSettings:
    """``[server]``: None is "off"."""

    listen: tuple[Listener, ...] = key(
        LISTENERS,
        'Where clients connect. `":8080"` is every IPv4 address, port 0 any free port. A table says more.',
        default=(Listener(ListenAddress("0.0.0.0", 8080)),),  # noqa: S104 - an edge serves every interface
        fixed=True,
    )
    workers: int | Literal["auto"] = key(
        kinds.unless("auto", "auto", kinds.integer(1, 128)),
        'How many worker processes serve clients; `"auto"` is the number of CPUs that the container may use, or '
        "`SPLICER_CPUS` in the environment if that is less.",
        default=1,
        fixed=True,
    )
    admin: ListenAddress | None = key(
        kinds.unless("off", None, kinds.LISTEN_ADDRESS),
        "The address that `splicer status` and `splicer tunnels` use, and that serves `/config` and `/metrics`. "
        "Strangers must not reach it.",
        default=ListenAddress("127.0.0.1", 9901),
        fixed=True,
    )
    metrics: ListenAddress | None = key(
        kinds.unless("off", None, kinds.LISTEN_ADDRESS),
        "One more address that serves only `/metrics` and `/healthz`, for Prometheus and the kubelet.",
        default=None,
        fixed=True,
    )
    trusted_proxies: tuple[Network, ...] = key(
        kinds.list_of(kinds.NETWORK, "networks"),
        "The proxies in front of splicer: a client's address and scheme (`X-Forwarded-For`, `X-Forwarded-Proto`) are "
        "believed only if one of them sends them.",
        default=(),
    )
    tls_workers: int | Literal["auto"] = key(
        kinds.unless("auto", "auto", kinds.integer(1, 64)),
        'How many tls processes there are, if TLS is used; `"auto"` is as many as workers.',
        default="auto",
        fixed=True,
    )
    dashboard: bool = key(
        kinds.BOOLEAN,
        "Whether the admin address shows a picture of the traffic to browsers, at `/`.",
        default=True,
    )


@frozen
class Limits:
    """``[limits]``: sizes in bytes; None is "unlimited"."""

    connections: int = key(
        kinds.integer(1),
        "Client connections at once, over all workers. At the limit an idle one makes room; if none is idle, requests "
        "for pods get 503.",
        default=20000,
    )
    head_bytes: int = key(
        kinds.size(1024, 65536), "The size of a request's head; a larger one gets 431.", default=32768
    )
    body_bytes: int | None = key(
        kinds.unless("unlimited", None, kinds.size(1)),
        "The size of the body of a plain HTTP request; a larger one gets 413. A route may have its own.",
        default=10 * 1024 * 1024,
    )
    socket_buffer: int = key(
        kinds.size(16 * 1024, 16 * 1024 * 1024),
        "The kernel's receive buffer of a connection to a client or a pod; its send buffer is three times as large. "
        "More is faster over a long round trip; a call whose peers do not read takes up to six times this size.",
        default=64 * 1024,
    )
    connections_per_client: int | None = key(
        kinds.unless("off", None, kinds.integer(1)),
        "Connections at once from one address (IPv6: one /64); a further one gets 503. Each worker has its share, and "
        "`trusted_proxies` have no limit. Providers call from few addresses.",
        default=None,
    )


@frozen
class LogSettings:
    """``[log]``: `progress` in seconds, `math.inf` is "off"."""

    format: Literal["auto", "json", "console", "combined"] = key(
        kinds.choice("auto", "json", "console", "combined"),
        "Whether the lines of the log, on stdout, are for machines (`json`) or for a person (`console`). `auto` is "
        "`console` if stdout is a terminal, and else `json`; `combined` is that of nginx and Apache.",
        default="auto",
        fixed=True,
    )
    progress: float = key(
        kinds.unless("off", math.inf, kinds.DURATION),
        "The time between two lines of the log about the same call.",
        default=300.0,
    )
    query: bool = key(kinds.BOOLEAN, "Whether query strings are logged; they may carry tokens.", default=False)
    headers: tuple[str, ...] = key(
        HEADERS,
        "The request headers that are logged, such as `user-agent`, each in a field `header_user_agent` with up to 256 "
        "characters.",
        default=(),
    )


@frozen
class ResolverSettings:
    """``[resolver]``: `max_ttl` in seconds; the names of `hosts` in lower case, without the root's dot."""

    nameservers: tuple[tuple[str, int], ...] = key(
        kinds.list_of(kinds.NAMESERVER, "IP addresses, each with a port if it is not 53"),
        "The name servers to ask; an empty list stands for those of `/etc/resolv.conf`.",
        default=(),
    )
    max_ttl: float = key(
        kinds.DURATION,
        "The upper bound of the TTL of a name server's answer.",
        default=10.0,
    )
    ipv6: bool = key(kinds.BOOLEAN, "Whether names are asked for IPv6 addresses too.", default=True)
    hosts: Mapping[str, tuple[str, ...]] = key(
        kinds.FIXED_HOSTS, "Names with fixed addresses; they take precedence over DNS.", default=MappingProxyType({})
    )


@frozen
class KubernetesSettings:
    """``[kubernetes]``: the API server that upstreams with ``discovery = "kubernetes"`` ask."""

    api: str = key(
        kinds.text(api_url, '`"in-cluster"`, or a URL'),
        "The API server. By default the one of the cluster that splicer runs in; elsewhere the URL that "
        "`kubectl proxy` prints. `http` is for this machine only: the token must not be sent in the clear.",
        default=IN_CLUSTER,
    )
    token_file: str = key(
        kinds.TEXT,
        "The file with the token, read anew for each request, so that it may be replaced at any time.",
        default="/var/run/secrets/kubernetes.io/serviceaccount/token",
    )
    ca_file: str = key(
        kinds.TEXT,
        "The file with the certificates that the API server's must be signed by.",
        default="/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
    )


@frozen
class Config:
    """A whole routing.toml, consistent in itself."""

    server: ServerSettings
    deadlines: Deadlines
    limits: Limits
    log: LogSettings
    resolver: ResolverSettings
    kubernetes: KubernetesSettings
    upstreams: Mapping[str, Upstream]
    routes: tuple[Route, ...]
    errors: tuple[ErrorPage, ...] = ()
    passthrough: tuple[Passthrough, ...] = ()
    hooks: Mapping[str, HookSettings] = MappingProxyType({})
    tls: Mapping[str, TlsProfile] = MappingProxyType({})
    tracing: TracingSettings | None = None
