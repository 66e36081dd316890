"""One location as a route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define

from splicer.importer.draft import RouteDraft, free_name
from splicer.importer.ledger import Verdict
from splicer.importer.nginx import authorizer
from splicer.importer.nginx.access import access
from splicer.importer.nginx.answers import answer, error_pages, respond
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.deadlines import deadlines
from splicer.importer.nginx.fallback import fallback
from splicer.importer.nginx.headers import request_headers, response_headers
from splicer.importer.nginx.limits import limits, methods
from splicer.importer.nginx.patterns import Location, name_of, pattern_of
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.proxy import lead, mark_sets, path_for_pod, target_of
from splicer.importer.nginx.rewrites import rewrites
from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.source import Statement
from splicer.importer.nginx.tables import GUARDS
from splicer.importer.nginx.values import Part

_CONTENT = ("proxy_pass", "return", "stub_status")
_NO_FILES = "splicer serves no files: put what is there into the application, or on a server for files"


@define(eq=False)
class Server:
    """A server that is being translated.

    Args:
        statement: its block.
        scope: what holds in it.
        hosts: for its routes; none for the default server.
        names: its names, literal ones alone.
        label: put before the names of its routes; "" where there is only one server.
        named: its named locations.
        paths: its other locations, by their path.
    """

    statement: Statement
    scope: Scope
    hosts: Sequence[str]
    names: Sequence[str]
    label: str
    named: Mapping[str, Statement]
    paths: Mapping[str, Statement]


def new_route(context: Context, server: Server, name: str, origin: Statement) -> RouteDraft:
    """A route of a server, with its hosts."""
    name = free_name(f"{server.label}{name}", context.names)
    context.names.add(name)
    route = RouteDraft(name=name, origin=origin.place)
    if server.hosts:
        route.put("hosts", list(server.hosts), *server.scope.own("server_name"))
    return route


def place_of(context: Context, server: Server, location: Location) -> Place:
    """A location, with its pattern and its variables."""
    key, value, groups = pattern_of(location)
    route = new_route(context, server, name_of(location), location.statement)
    route.put(key, value, location.statement)
    place = Place(location.statement, location.scope, route)
    place.prefix = location.text if key == "prefix" else None
    place.regex = value if key == "regex" else ""
    place.captures = _captures(value) if key == "regex" else frozenset()
    names: list[Part] = list(server.names)
    place.known |= {"server_name": names[:1], "server_names": names}
    place.learn(groups)
    authorizer.learn(context, place)
    return place


def _captures(regex: str) -> frozenset[str]:
    from splicer.routing.pattern import compile_pattern

    try:
        return compile_pattern("regex", regex).captures
    except ValueError:  # `finish` says so
        return frozenset()


def location_routes(context: Context, server: Server, location: Location) -> list[RouteDraft]:
    """The route of a location, after those that its conditions make."""
    place = place_of(context, server, location)
    if location.statement.name == "location" and location.scope.own("internal"):
        place.route.put(("respond", "status"), 404, *location.scope.own("internal"))
        return [place.route]
    if (why := context.unsafe.get(id(location.statement))) is not None:
        place.route.closed.append(why)
    statement = next((each for each in location.scope.statements if each.name in _CONTENT), None)
    before: list[RouteDraft] = []
    access(context.ledger, place)
    methods(context, place)
    _guards(context, place)
    if statement is None:
        before = rewrites(context, place)
        _nothing(context, place, server)
    elif statement.name == "return":
        answer(context, place, statement)
    elif statement.name == "stub_status":
        place.route.put("respond", "status", statement)
    else:
        before = _proxied(context, server, place, statement)
    limits(context, place)
    response_headers(context, place)
    if (log := place.scope.last("access_log")) and log.first == "off":
        place.route.put("log", False, log)
    mark_sets(context, place)
    _one_answer(place.route)
    return [*before, place.route]


def _proxied(context: Context, server: Server, place: Place, statement: Statement) -> list[RouteDraft]:
    authorizer.captures(place, statement)
    target = target_of(place, statement)
    if target is None:
        context.ledger.lost(statement, "is no HTTP URL")
        place.route.closed.append(f"{statement.text} could not be imported")
        return []
    lead(context, place, target, place.route)
    path_for_pod(context, place, target, place.route)
    request_headers(context, place, target)
    authorizer.authorize(context, place, server.paths, server.scope)
    connect = fallback(context, place, server.named, server.scope)
    deadlines(context, place, connect)
    error_pages(context, place, server.named, server.paths)
    return rewrites(context, place)


def _nothing(context: Context, place: Place, server: Server) -> None:
    """A location without a handler: nginx serves files there, if it may."""
    if place.route.get("respond", "status") is not None or place.route.get("redirect") is not None:
        return
    tries = place.scope.last("try_files")
    last = tries.args[-1] if tries is not None and tries.args else ""
    named = server.named.get(last)
    if tries is not None and named is not None:
        passes = [each for each in named.block or () if each.name == "proxy_pass"]
        target = target_of(place, passes[0]) if passes else None
        if target is not None:
            context.ledger.lost(tries, f"no file is looked for: every request goes on to {last}")
            context.ledger.mark(named, Verdict.CARRIED)
            place.scope = Scope(named.block or (), server.scope)
            lead(context, place, target, place.route)
            request_headers(context, place, target)
            deadlines(context, place, None)
            return
    if tries is not None and last.startswith("=") and last[1:].isdecimal():
        respond(context, place, int(last[1:]), "", tries)
        return
    context.ledger.lost(place.statement, _NO_FILES)
    place.route.closed.append(f"it serves files: {_NO_FILES}")


def _guards(context: Context, place: Place) -> None:
    for name, remedy in GUARDS.items():
        if not remedy or name in ("limit_except", "auth_request") or (context.verifies and name == "ssl_verify_client"):
            continue
        for guard in place.scope.all(name):
            if guard.first not in ("off", "all"):
                context.ledger.lost(guard, remedy)
                place.route.closed.append(f"{guard.text} could not be imported")


def _one_answer(route: RouteDraft) -> None:
    """A `deny all` beside a proxy_pass refuses everybody."""
    if route.get("respond", "status") == 403 and any(path[0] in ("upstream", "redirect") for path in route.values):
        route.closed.append("nobody may use it")


def missing_route(context: Context, server: Server) -> RouteDraft | None:
    """Nginx's answer where no location of a named server matches; None: its locations take everything."""
    if not server.hosts or "/" in server.paths:
        return None
    route = new_route(context, server, "none", server.statement)
    route.comments.append("nginx has no location for the rest of this server")
    route.put("prefix", "/")
    route.put(("respond", "status"), 404)
    response_headers(context, Place(server.statement, server.scope, route))
    return route
