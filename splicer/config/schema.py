"""What a routing.toml says, after every check: frozen values with the defaults of design §7."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import Factory, frozen

from splicer.model import Deadlines, Network, Route, Upstream, authority


@frozen
class ListenAddress:
    """Where to listen.

    Args:
        host: a numeric IP address, without brackets.
        port: the TCP port; 0 takes any free one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)


@frozen
class ServerSettings:
    """``[server]``.

    Args:
        listen: for clients.
        workers: how many, or "auto" for the CPUs that this container may use.
        admin: for the tunnels commands; None is "off".
        metrics: for the scraper; None is "off".
        trusted_proxies: whose X-Forwarded-For is believed.
    """

    listen: tuple[ListenAddress, ...] = (ListenAddress("0.0.0.0", 8080),)  # noqa: S104 - an edge is there for all
    workers: int | Literal["auto"] = 1
    admin: ListenAddress | None = ListenAddress("127.0.0.1", 9901)
    metrics: ListenAddress | None = None
    trusted_proxies: tuple[Network, ...] = ()


@frozen
class Limits:
    """``[limits]``.

    Args:
        connections: client connections at once, all workers together.
        head_bytes: of a request head.
        body_bytes: of a plain HTTP request body; None is "unlimited".
        socket_buffer: bytes of each buffer of a connection's socket, to send and to receive.
    """

    connections: int = 20000
    head_bytes: int = 32768
    body_bytes: int | None = 10 * 1024 * 1024
    socket_buffer: int = 64 * 1024


@frozen
class LogSettings:
    """``[log]``.

    Args:
        format: of the lines on stdout.
        progress: seconds between the lines about a long tunnel; `math.inf` is "off".
        query: whether query strings are logged: tokens live there.
    """

    format: Literal["json", "console"] = "json"
    progress: float = 300.0
    query: bool = False


@frozen
class ResolverSettings:
    """``[resolver]``.

    Args:
        nameservers: numeric addresses and ports; empty: those of /etc/resolv.conf.
        max_ttl: seconds; a record is never trusted for longer.
        ipv6: whether to ask for AAAA.
        hosts: fixed names, in lower case without the root's dot, which come before DNS.
    """

    nameservers: tuple[tuple[str, int], ...] = ()
    max_ttl: float = 10.0
    ipv6: bool = True
    hosts: Mapping[str, tuple[str, ...]] = Factory(dict)


@frozen
class Config:
    """A whole routing.toml, consistent in itself."""

    server: ServerSettings
    deadlines: Deadlines
    limits: Limits
    log: LogSettings
    resolver: ResolverSettings
    upstreams: Mapping[str, Upstream]
    routes: tuple[Route, ...]
