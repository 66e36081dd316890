"""``[[routes]]``: one table, and the `Route` that it makes."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from splicer.config import routekeys
from splicer.config.addresses import network
from splicer.config.plain import boolean, list_of, name, text
from splicer.config.respond import respond
from splicer.config.routerules import RouteSpec, broken_rules
from splicer.config.structure import Fault, Reader
from splicer.model import Deadlines, Route, Upstream
from splicer.routing.pattern import PrefixPath

ROUTE = Reader(
    RouteSpec,
    name=name,
    path=routekeys.path,
    prefix=routekeys.prefix,
    regex=routekeys.regex,
    hosts=list_of(routekeys.host, empty="leave the key out for any host"),
    methods=list_of(routekeys.method, empty="leave the key out for any method"),
    clients=list_of(network, empty="nobody could use the route; leave the key out for any client"),
    encoded_slash=routekeys.encoded_slash,
    log=boolean,
    respond=respond,
    upstream=text,
    fallback=text,
    fallback_on=list_of(routekeys.fallback_status),
    upgrade=list_of(routekeys.protocol, empty="leave the key out to tunnel nothing"),
    upgrade_only=boolean,
    rewrite=routekeys.rewrite,
    strip_prefix=boolean,
    deadlines=routekeys.deadlines,
)


def read_route(
    index: int, table: object, upstreams: Mapping[str, Upstream | None] | None, inherited: Deadlines
) -> tuple[Route | None, tuple[Fault, ...]]:
    """One route, or None and all its faults.

    Args:
        index: its place in the file, from 1.
        table: as TOML has it.
        upstreams: by name, None for one with faults; None for all when there is no telling which there are.
        inherited: ``[deadlines]``.
    """
    reading = ROUTE.read(table)
    spec = reading.value
    if spec is None:
        return None, reading.faults
    faults = (*reading.faults, *broken_rules(spec, reading, upstreams))
    pattern = spec.path or spec.prefix or spec.regex
    if faults or pattern is None or upstreams is None:
        return None, faults
    route = Route(
        index=index,
        name=spec.name,
        pattern=pattern,
        deadlines=evolve(inherited, **spec.deadlines),
        hosts=spec.hosts,
        methods=spec.methods,
        clients=spec.clients,
        encoded_slash=spec.encoded_slash_in_force,
        log=spec.log,
        respond=spec.respond,
        upstream=None if spec.upstream is None else upstreams[spec.upstream],
        fallback=None if spec.fallback is None else upstreams[spec.fallback],
        fallback_on=frozenset(spec.fallback_on),
        upgrade=spec.upgrade,
        upgrade_only=spec.upgrade_only,
        rewrite=spec.rewrite,
        strip_prefix=pattern.prefix if spec.strip_prefix and isinstance(pattern, PrefixPath) else None,
    )
    return route, ()
