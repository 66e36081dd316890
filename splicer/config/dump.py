"""A `Config` as the tables of a routing.toml that leaves nothing to defaults."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from splicer.config.schema import Config, Limits, LogSettings, ResolverSettings, ServerSettings
from splicer.config.values import format_duration
from splicer.model import Deadlines, Respond, Route, StatusPage, Upstream, authority

_SIZES = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_LONGEST_COUNT = 10**12  # of units, in the file


def as_tables(config: Config) -> dict[str, Any]:
    """The configuration in force, in the file's own keys and notation (design §7), every default filled in.

    Invariant: these tables, written as TOML, load as an equal `Config`. So a key that says "any" or "none" by not
    being there isn't there, nor is one that the file refuses beside the others (a `respond` route has no deadlines);
    and a literal ``${`` is written as the file needs it.

    Args:
        config: any that `load` has made.

    Returns:
        Tables, lists, strings, integers and booleans alone: they can be written as JSON too.
    """
    tables: dict[str, Any] = _escaped(
        {
            "server": _server(config.server),
            "deadlines": _deadlines(config.deadlines),
            "limits": _limits(config.limits),
            "log": _log(config.log),
            "resolver": _resolver(config.resolver),
            "upstreams": {name: _upstream(upstream) for name, upstream in config.upstreams.items()},
            "routes": [_route(route) for route in config.routes],
        }
    )
    return tables


def _server(server: ServerSettings) -> dict[str, Any]:
    return {
        "listen": _texts(server.listen),
        "workers": server.workers,
        "admin": "off" if server.admin is None else str(server.admin),
        "metrics": "off" if server.metrics is None else str(server.metrics),
        "trusted_proxies": _texts(server.trusted_proxies),
    }


def _deadlines(deadlines: Deadlines) -> dict[str, str]:
    return {key: format_duration(seconds) for key, seconds in attrs.asdict(deadlines).items()}


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "connections": limits.connections,
        "head_bytes": _size(limits.head_bytes),
        "body_bytes": "unlimited" if limits.body_bytes is None else _size(limits.body_bytes),
        "socket_buffer": _size(limits.socket_buffer),
    }


def _log(log: LogSettings) -> dict[str, Any]:
    progress = "off" if log.progress == math.inf else format_duration(log.progress)
    return {"format": log.format, "progress": progress, "query": log.query}


def _resolver(resolver: ResolverSettings) -> dict[str, Any]:
    return {
        "nameservers": [authority(host, port) for host, port in resolver.nameservers],
        "max_ttl": format_duration(resolver.max_ttl),
        "ipv6": resolver.ipv6,
        "hosts": {name: list(addresses) for name, addresses in resolver.hosts.items()},
    }


def _upstream(upstream: Upstream) -> dict[str, Any]:
    table: dict[str, Any] = {"address": upstream.text, "balance": upstream.balance}
    if upstream.allow is not None:
        table["allow"] = _texts(upstream.allow)
    return table


def _route(route: Route) -> dict[str, Any]:
    kind, _, pattern = route.pattern.text.partition(" ")
    table: dict[str, Any] = {"name": route.name, kind: pattern}
    for key, values in (("hosts", route.hosts), ("methods", route.methods), ("clients", route.clients)):
        if values:
            table[key] = _texts(values)
    table |= {"encoded_slash": route.encoded_slash, "log": route.log}
    if route.respond is not None:
        return table | {"respond": _respond(route.respond)}
    return table | _forwarding(route)


def _respond(respond: Respond | StatusPage) -> Any:
    if isinstance(respond, StatusPage):
        return str(respond)
    table: dict[str, Any] = {
        "status": respond.status,
        "body": respond.body.decode(),
        "content_type": respond.content_type,
        "headers": {name.decode(): value.decode() for name, value in respond.headers},
    }
    if respond.draining is not None:
        table["draining"] = _respond(respond.draining)
    return table


def _forwarding(route: Route) -> dict[str, Any]:
    """The keys that go only with `upstream`."""
    table: dict[str, Any] = {}
    if route.upstream is not None:
        table["upstream"] = route.upstream.name
    if route.rewrite is not None:
        table["rewrite"] = route.rewrite.text
    table["strip_prefix"] = route.strip_prefix is not None
    if route.fallback is not None:
        table |= {"fallback": route.fallback.name, "fallback_on": sorted(route.fallback_on)}
    if route.upgrade:
        table["upgrade"] = list(route.upgrade)
    table["upgrade_only"] = route.upgrade_only
    table["deadlines"] = _deadlines(route.deadlines)
    return table


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in values]


def _size(size: int) -> int | str:
    """Bytes, in the largest unit that they are whole numbers of."""
    for unit, factor in _SIZES:
        count, rest = divmod(size, factor)
        if not rest and count < _LONGEST_COUNT:
            return f"{count}{unit}"
    return size


def _escaped(value: Any) -> Any:
    """No string is a reference to the environment any more (`config.environment` leaves keys alone)."""
    match value:
        case str():
            return value.replace("${", "$${")
        case list():
            return [_escaped(item) for item in value]
        case dict():
            return {key: _escaped(item) for key, item in value.items()}
        case _:
            return value
