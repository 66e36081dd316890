"""`auth_request` as `authorize`."""

from __future__ import annotations

from collections.abc import Mapping

from splicer.importer.draft import RouteDraft, upstreams_of
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.proxy import Target, lead, target_of
from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.source import Statement
from splicer.importer.nginx.tables import GUARDS
from splicer.importer.nginx.values import Variable, header_of, parts_of

_ANSWER = "upstream_http_"


def learn(context: Context, place: Place) -> None:
    """Know the variables that `auth_request_set` takes from the authorizer's answer."""
    for step in place.scope.all("auth_request_set"):
        variable, parts = step.first.removeprefix("$"), parts_of(step.args[-1])
        match parts:
            case [Variable(name)] if name.startswith(_ANSWER):
                place.known[variable] = [Variable(f"http_{name.removeprefix(_ANSWER)}")]
            case _:
                context.ledger.lost(step, "only a header of the authorizer's answer can be taken")


def captures(place: Place, statement: Statement) -> None:
    """Before a `proxy_pass` is taken apart: variables of the answer in its host are captures of the authorizer."""
    host = statement.first.partition("://")[2].partition("/")[0]
    for step in place.scope.all("auth_request_set"):
        variable = step.first.removeprefix("$")
        if any(isinstance(part, Variable) and part.name == variable for part in parts_of(host)):
            header = header_of(step.args[-1].replace(_ANSWER, "http_").removeprefix("$"))
            place.known.pop(variable, None)
            place.captures |= {variable}
            place.route.put(("authorize", "captures", variable), header, step)


def authorize(context: Context, place: Place, locations: Mapping[str, Statement], server: Scope) -> None:
    """Set a route's `authorize`.

    Args:
        context: gets the authorizer's upstream.
        place: the location.
        locations: the server's exact and prefix ones, by their path.
        server: what holds around them.
    """
    asks = place.scope.last("auth_request")
    if asks is None or asks.first == "off":
        return
    location = locations.get(asks.first)
    passes = [each for each in (location.block or ()) if each.name == "proxy_pass"] if location else []
    inner = Place(location, Scope(location.block or (), server), place.route) if location is not None else None
    target = target_of(inner, passes[0]) if inner is not None and passes else None
    if location is None or target is None or inner is None:
        context.ledger.lost(asks, GUARDS["auth_request"])
        place.route.closed.append(f"{asks.text} could not be imported")
        return
    _ask(context, place, asks, location, target, inner)


def _ask(context: Context, place: Place, asks: Statement, location: Statement, target: Target, inner: Place) -> None:
    inner.route = RouteDraft()
    lead(context, inner, target, inner.route)
    found = next(upstreams_of(inner.route), None)
    if found is None:
        place.route.closed.append(f"{asks.text} could not be imported")
        return
    path = target.path[0] if target.path and isinstance(target.path[0], str) else asks.first
    place.route.put(("authorize", "upstream"), found, asks, target.statement)
    place.route.put(("authorize", "path"), str(path), asks, target.statement)
    context.ledger.mark(location, Verdict.CARRIED)
    context.ledger.differs(asks, "the authorizer's 3xx, 401, 403, 404 and 429 are the client's answer")
    _taken(place)
    for each in location.block or ():
        if each.name in ("proxy_pass_request_body", "proxy_set_header", "proxy_method"):
            context.ledger.mark(each, Verdict.DEFAULT, "the question is a GET without a body, with X-Original-URI")


def _taken(place: Place) -> None:
    """The headers of the answer that a pod gets."""
    steps = [step for step in place.scope.all("auth_request_set") if step.first.removeprefix("$") in place.known]
    headers = [header_of(step.args[-1].replace(_ANSWER, "http_").removeprefix("$")) for step in steps]
    if headers:
        place.route.put(("authorize", "headers"), headers, *steps)
