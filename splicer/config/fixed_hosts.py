"""Upstreams whose addresses are given by the file: as a literal, as localhost, or under ``[resolver.hosts]``."""

from __future__ import annotations

from collections.abc import Mapping

from splicer.config.addresses import is_ip
from splicer.config.reader import Fault
from splicer.model import Network
from splicer.policy.allowed import LOCALHOST, allowed, is_localhost, own_network

_NEVER = "is never dialled: it is link-local, multicast, reserved, unspecified or gives out a machine's credentials"

Hosts = Mapping[str, tuple[str, ...]]


def fixed_addresses(host: str, hosts: Hosts) -> tuple[str, ...]:
    """The addresses of a host without captures that needs no name server; () if the name servers are asked.

    Args:
        host: as written in the upstream.
        hosts: the table ``[resolver.hosts]``.
    """
    name = host.lower().removesuffix(".")
    if name in hosts:
        return hosts[name]
    if is_localhost(name):
        return LOCALHOST
    return (host,) if is_ip(host) else ()


def settle_allow(
    host: str, allow: tuple[Network, ...] | None, hosts: Hosts
) -> tuple[tuple[Network, ...] | None, tuple[Fault, ...]]:
    """The effective `allow` of an upstream without captures, and the fault if none of its addresses may be dialled.

    The operator has written an address literal on purpose, so it is allowed without an `allow`; so is localhost, which
    can mean only loopback (RFC 6761 §6.3). Any other name needs an `allow` for loopback, whatever gave its address.

    Args:
        host: as written in the upstream.
        allow: the upstream's `allow`; None if it has none.
        hosts: the table ``[resolver.hosts]``.
    """
    addresses = fixed_addresses(host, hosts)
    networks = tuple(network for network in map(own_network, addresses) if network is not None)
    named = host.lower().removesuffix(".") in hosts
    if not addresses:
        return allow, ()
    if not networks:
        what = f"{addresses[0]}, which [resolver.hosts] gives {host}," if named else addresses[0]
        return allow, (Fault(("address",), f"{what} {_NEVER}"),)
    if allow is None and not named:
        return networks, ()
    if any(allowed(address, allow) for address in addresses):
        return allow, ()
    what = host if host in addresses else f"{host} ({', '.join(addresses)})"
    fault, remedy = ("is loopback", "write allow = [{}]") if allow is None else ("lies outside", "add {}")
    own = remedy.format(f'"{networks[0]}"')
    return allow, (Fault(("allow",), f"{what} {fault}, and every request would get 502; {own}"),)
