"""Limits of rates, sizes and methods."""

from __future__ import annotations

import re

from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.source import Statement
from splicer.importer.times import size_of

_RATE = re.compile(r"rate=(\d+)r/([sm])")
_BY_CLIENT = ("$binary_remote_addr", "$remote_addr")


def limits(context: Context, place: Place) -> None:
    """Set a route's `rate_limit`, `body_bytes` and `methods`, and the connections of a client."""
    if body := place.scope.last("client_max_body_size"):
        size = size_of(body.first)
        if size is None:
            context.ledger.lost(body, "is no size")
        elif place.route.get("upstream") is not None or any(path[0] == "upstream" for path in place.route.values):
            place.route.put("body_bytes", size, body)
    rates = place.scope.all("limit_req")
    for rate in rates[1:]:
        context.ledger.lost(rate, "a route has one rate_limit")
    if rates:
        _rate(context, place, rates[0])
    for limit in place.scope.all("limit_conn"):
        _connections(context, limit)


def _rate(context: Context, place: Place, limit: Statement) -> None:
    options = dict(arg.partition("=")[::2] for arg in limit.args)
    zone = context.zones.get(options.get("zone", ""))
    rate = next((found for arg in (zone.args if zone else ()) if (found := _RATE.fullmatch(arg))), None)
    by = _by(zone.first) if zone is not None else None
    if zone is None or rate is None or by is None:
        context.ledger.lost(limit, 'write rate_limit = { rate = "10/s", by = "client" } on the route')
        if zone is not None:
            context.ledger.lost(zone, "splicer limits by client, by route or by a header")
        return
    place.route.put(("rate_limit", "rate"), f"{rate[1]}/{rate[2]}", zone, limit)
    burst = int(options.get("burst", "0")) + 1
    place.route.put(("rate_limit", "burst"), burst, limit)
    place.route.put(("rate_limit", "by"), by, zone)
    told = "a request over the rate gets 429, and none waits" if "nodelay" not in limit.args else "429 instead of 503"
    context.ledger.differs(limit, f"{told}; each worker has its share of the rate")


def _by(key: str) -> str | None:
    if key in _BY_CLIENT:
        return "client"
    if key.startswith("$http_"):
        return f"header:{key.removeprefix('$http_').replace('_', '-')}"
    return None if "$" in key and key not in ("$server_name", "$host") else "route"


def _connections(context: Context, limit: Statement) -> None:
    zone = context.zones.get(limit.first)
    if zone is None or zone.first not in _BY_CLIENT:
        context.ledger.lost(limit, "for calls write max_tunnels on the route")
        return
    context.draft.sections["limits"].put("connections_per_client", int(limit.args[-1]), limit, zone)
    context.ledger.differs(limit, "holds for the whole edge, and counts connections, not requests")


def methods(context: Context, place: Place) -> None:
    """`limit_except` that denies all others."""
    for limit in place.scope.own("limit_except"):
        inner = limit.block or []
        if [each.text for each in inner] == ["deny all"]:
            names = list(dict.fromkeys(arg.upper() for arg in limit.args))
            place.route.put("methods", names, limit, *inner)
            context.ledger.differs(limit, "other methods get 405 instead of 403")
        else:
            for each in (limit, *inner):
                context.ledger.lost(each, "write methods, clients and a second route for the others")
            place.route.closed.append(f"{limit.text} could not be imported")


def zones(context: Context, statement: Statement) -> None:
    """Remember a `limit_req_zone` or `limit_conn_zone`."""
    for arg in statement.args:
        name, _, value = arg.partition("=")
        if name == "zone":
            context.zones[value.partition(":")[0]] = statement
            if not context.ledger.is_marked(statement):
                context.ledger.mark(statement, Verdict.NO_NEED, "its key and rate are with the routes that use it")
