"""The sections of routing.toml: tables that occur once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from splicer.config.addresses import ListenAddress
from splicer.config.deadlines import DEADLINES
from splicer.config.reader import Fault, Reader
from splicer.config.schema import KubernetesSettings, Limits, LogSettings, ResolverSettings, ServerSettings

SECTIONS: Mapping[str, Reader[Any]] = {
    "server": Reader(ServerSettings),
    "deadlines": DEADLINES,
    "limits": Reader(Limits),
    "log": Reader(LogSettings),
    "resolver": Reader(ResolverSettings),
    "kubernetes": Reader(KubernetesSettings),
}


def clashes(server: ServerSettings, broken: frozenset[str]) -> Iterator[Fault]:
    """Addresses that two of the server's listeners share: the second bind(2) would fail with EADDRINUSE.

    Invariant: a key that has a fault of its own causes no other fault.

    Args:
        server: the section, with the defaults for the broken keys.
        broken: the keys that have a fault.
    """
    listen = [("listen", listener.address) for listener in server.listen]
    claims = [*listen, ("admin", server.admin), ("metrics", server.metrics)]
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


def unused_log_keys(log: LogSettings, broken: frozenset[str]) -> Iterator[Fault]:
    """Keys of ``[log]`` that do nothing beside others.

    Args:
        log: the section, with the defaults for the broken keys.
        broken: the keys that have a fault.
    """
    if log.format == "combined" and log.headers and not broken & {"format", "headers"}:
        yield Fault(
            ("headers",), 'can\'t stand beside format = "combined", which has Referer and User-Agent, and no others'
        )


def _overlap(one: ListenAddress, other: ListenAddress) -> bool:
    """Whether two addresses can't both be bound: "0.0.0.0" is all of IPv4, "::" all of IPv6, port 0 any free port."""
    if not one.port or one.port != other.port:
        return False
    first, second = ip_address(one.host), ip_address(other.host)
    return first.version == second.version and (first == second or first.is_unspecified or second.is_unspecified)
