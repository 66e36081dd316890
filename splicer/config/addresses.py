"""Parsers for addresses, networks and host names."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_interface, ip_network

from attrs import frozen

from splicer.config.scalars import BadValue, list_of, show, table_of, text
from splicer.model import Network, authority

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


@frozen
class ListenAddress:
    """An address to listen on.

    Args:
        host: a numeric IP address, without brackets.
        port: the TCP port; 0 takes any free one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)


def is_ip(host: str) -> bool:
    """Whether this is a numeric address, without a scope ("%eth0")."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def is_host_name(host: str) -> bool:
    """Whether this can be a name in DNS (RFC 1035 §2.3.4); underscores, as in service names, are accepted too.

    A last label of digits only is refused: such a name would be read as an IPv4 address, and an invalid one (RFC 1123
    §2.1).
    """
    if len(host) > 254 or not _HOST_NAME.fullmatch(host):
        return False
    return not host.removesuffix(".").rpartition(".")[2].isdecimal()


def split_port(address: str) -> tuple[str, str | None]:
    """Host and port of "host:port", "[IPv6]:port", or either without a port (None then)."""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        if rest.startswith(":"):
            return host, rest[1:]
        return (address, None) if rest else (host, None)
    if address.count(":") > 1:
        return address, None
    host, colon, port = address.partition(":")
    return host, port if colon else None


def port_number(port: str, minimum: int = 1) -> int:
    """A TCP or UDP port from its digits."""
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and minimum <= int(port) <= 65535):
        raise BadValue(f"port {show(port)} is not between {minimum} and 65535")
    return int(port)


def ip(value: object) -> str:
    """A numeric address, in its canonical form."""
    word = text(value)
    if not is_ip(word):
        raise BadValue(f"{show(word)} is no IP address")
    return str(ip_address(word))


def listen_address(value: object) -> ListenAddress:
    """An address to listen on: "0.0.0.0:8080", "[::]:8080", or ":8080" for every IPv4 address; port 0: any free one."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise BadValue(f'must be an address with a port; write "0.0.0.0:{value if 0 <= value < 65536 else 8080}"')
    word = text(value)
    host, port = split_port(word)
    if port is None:
        example = str(ListenAddress(host, 8080)) if is_ip(host) else "0.0.0.0:8080"
        raise BadValue(f"{show(word)} has no port; write for example {show(example)}")
    host = host or "0.0.0.0"  # noqa: S104 - ":8080" means every IPv4 address
    if host == "localhost":
        raise BadValue(f'{show(word)} must be an IP address; write "127.0.0.1:{port}"')
    if not is_ip(host):
        raise BadValue(f'{show(host)} is no IP address; write for example "0.0.0.0:8080" or "[::]:8080"')
    return ListenAddress(str(ip_address(host)), port_number(port, 0))


def nameserver(value: object) -> tuple[str, int]:
    """A name server's address, with a port if it isn't 53."""
    host, port = split_port(text(value))
    if not is_ip(host):
        raise BadValue(f'{show(value)} is no IP address; write for example "10.0.0.10" or "[::1]:53"')
    return str(ip_address(host)), 53 if port is None else port_number(port)


def network(value: object) -> Network:
    """A network ("10.0.0.0/8"), or one address."""
    word = text(value)
    try:
        return ip_network(word)
    except ValueError:
        pass
    try:
        meant = ip_interface(word).network
    except ValueError:
        raise BadValue(f'{show(word)} is no network; write for example "10.0.0.0/8"') from None
    raise BadValue(f'{show(word)} is an address within a network; the network is "{meant}"')


def fixed_hosts(value: object) -> dict[str, tuple[str, ...]]:
    """Names, each with an address or a list of them."""
    entries = table_of(_fixed_name, _fixed_addresses)(value)
    names = [name for name, _ in entries]
    for name in names:
        if names.count(name) > 1:
            raise BadValue(f"{show(name)} stands there twice: names are compared without case")
    return dict(entries)


def _fixed_name(name: str) -> str:
    if not is_host_name(name):
        raise BadValue("is no host name")
    return name.removesuffix(".").lower()


def _fixed_addresses(value: object) -> tuple[str, ...]:
    if isinstance(value, dict):
        raise BadValue("is a table; put a name with dots in quotes")
    return list_of(ip, empty="a name needs an address")(value if isinstance(value, list) else [value])
