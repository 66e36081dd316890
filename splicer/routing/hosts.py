"""The `hosts` of a route and the Host of a request."""

from __future__ import annotations


def host_name(host: str) -> str:
    """An authority without its port, in lower case, without the root's dot; IPv6 keeps its brackets."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].removesuffix(".").lower()


def host_matches(hosts: tuple[str, ...], name: str) -> bool:
    """Whether `name` is among a route's `hosts`, where none at all means any.

    Args:
        hosts: in lower case; "*.suffix" stands for every name below the suffix, at any depth.
        name: as `host_name` gives it.
    """
    if not hosts or name in hosts:
        return True
    return any(host.startswith("*.") and len(name) >= len(host) and name.endswith(host[1:]) for host in hosts)


def hosts_cover(earlier: tuple[str, ...], later: tuple[str, ...]) -> bool:
    """Whether every name that `later` matches is matched by `earlier` too."""
    if not earlier:
        return True
    # "*.b.c" is covered by "*.c" as the name "x.b.c" is, so it is matched like a name; "*" is one label or more.
    return bool(later) and all(host_matches(earlier, host) for host in later)
