"""The tables of routing.toml that are there once: how each key is parsed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from splicer.config.addresses import fixed_hosts, listen_address, listen_addresses, nameserver, network
from splicer.config.plain import boolean, choice, integer_from, list_of
from splicer.config.schema import Limits, LogSettings, ResolverSettings, ServerSettings
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


def clashes(server: ServerSettings) -> Iterator[Fault]:
    """Addresses that two of the server's keys claim."""
    taken = dict.fromkeys(server.listen, "listen")
    for key, address in (("admin", server.admin), ("metrics", server.metrics)):
        if address is None or not address.port:
            continue
        if address in taken:
            yield Fault((key,), f"{address} is taken by server.{taken[address]}")
        taken[address] = key
