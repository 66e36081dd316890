"""Names in certificates: which of them a peer must have, and which certificate answers to a name (RFC 9525)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address


def canonical(name: str) -> str:
    """A DNS name as it is compared: in lower case, in its ASCII form, without the root's dot."""
    name = name.removesuffix(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def wildcard_of(name: str) -> str | None:
    """The only wildcard that covers a name: its first label replaced by `*`; None: none does.

    A wildcard must have two more labels (`*.com` covers nothing here), and stands for one label alone (RFC 9525 §6.3).
    """
    first, _, rest = name.partition(".")
    return f"*.{rest}" if first and "." in rest else None


def has_name(certificate: Iterable[tuple[str, str]], wanted: Iterable[str]) -> bool:
    """Whether a peer's certificate has one of the wanted names.

    Args:
        certificate: its subject alternative names, as (kind, value): "DNS", "IP Address" or "URI".
        wanted: a DNS name (`*.example.org` for any one label), an IP address, or a URI as a whole.
    """
    dns: set[str] = set()
    exact: set[str] = set()
    for kind, value in certificate:
        if kind == "DNS":
            dns.add(canonical(value))
        elif kind == "IP Address" and (address := _ip(value)) is not None:
            exact.add(address)
        elif kind == "URI":
            exact.add(value)
    return any(_has(dns, exact, name) for name in wanted)


def _has(dns: set[str], exact: set[str], wanted: str) -> bool:
    if "://" in wanted:
        return wanted in exact
    if (address := _ip(wanted)) is not None:
        return address in exact
    name = canonical(wanted)
    if name.startswith("*."):
        return name in dns or any(wildcard_of(one) == name for one in dns)
    return name in dns or wildcard_of(name) in dns


def _ip(text: str) -> str | None:
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        return None
