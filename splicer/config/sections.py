"""The tables of routing.toml that are there once: how each key is parsed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from ipaddress import ip_address

from splicer.config.addresses import fixed_hosts, listen_address, listen_addresses, nameserver, network
from splicer.config.plain import boolean, choice, integer_from, list_of
from splicer.config.schema import Limits, ListenAddress, LogSettings, ResolverSettings, ServerSettings
from splicer.config.structure import Fault, Reader
from splicer.config.values import duration, size_from, unless

SERVER = Reader(
    ServerSettings,
    listen=listen_addresses,
    workers=unless("auto", "auto", integer_from(1, 128)),
    admin=unless("off", None, listen_address),
    metrics=unless("off", None, listen_address),
    trusted_proxies=list_of(network),
)

LIMITS = Reader(
    Limits,
    connections=integer_from(1),
    head_bytes=size_from(1024, 65536),
    body_bytes=unless("unlimited", None, size_from(1)),
    socket_buffer=size_from(16 * 1024, 16 * 1024 * 1024),
)

LOG = Reader(
    LogSettings,
    format=choice("json", "console"),
    progress=unless("off", math.inf, duration),
    query=boolean,
)

RESOLVER = Reader(
    ResolverSettings,
    nameservers=list_of(nameserver),
    max_ttl=duration,
    ipv6=boolean,
    hosts=fixed_hosts,
)


def clashes(server: ServerSettings, broken: frozenset[str]) -> Iterator[Fault]:
    """Addresses that two of the server's listeners claim: the second couldn't listen there (bind(2), EADDRINUSE).

    Invariant: a key that has a fault of its own causes no other fault.

    Args:
        server: with the defaults for the broken keys.
        broken: the keys that have a fault.
    """
    claims = [*(("listen", address) for address in server.listen), ("admin", server.admin), ("metrics", server.metrics)]
    taken: list[tuple[str, ListenAddress]] = []
    for key, address in claims:
        if key in broken or address is None:
            continue
        for holder, other in taken:
            if _overlap(address, other):
                by = f"server.{holder}" if address == other else f"{other} of server.{holder}"
                yield Fault((key,), f"{address} is taken by {by}")
                break
        taken.append((key, address))


def _overlap(one: ListenAddress, other: ListenAddress) -> bool:
    """Whether only one of two can be had: "0.0.0.0" is all of IPv4, "::" all of IPv6 alone, port 0 any free one."""
    if not one.port or one.port != other.port:
        return False
    first, second = ip_address(one.host), ip_address(other.host)
    return first.version == second.version and (first == second or first.is_unspecified or second.is_unspecified)
