"""`if`: a block that only answers becomes a route with a condition; any other one is lost."""

from __future__ import annotations

import re
from collections.abc import Sequence

from splicer.importer.draft import RouteDraft
from splicer.importer.nginx.answers import answer
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.routes import Server, new_route
from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.source import Statement
from splicer.importer.nginx.values import header_of

_CONDITION = re.compile(r"\(?\s*\$(\w+)\s*(?:(=|!=|~\*?|!~\*?)\s*(.*?))?\s*\)?", re.DOTALL)
_REMEDY = "write a route with conditions (headers, query, scheme, methods, hosts) above this one"
_HAS_WORD = frozenset({"http_upgrade"})


def conditional_routes(
    context: Context, server: Server, scope: Scope, pattern: tuple[str, str], route: RouteDraft | None
) -> list[RouteDraft]:
    """The routes of the `if` blocks of a location, or of a server.

    Args:
        context: gets the verdicts.
        server: the server.
        scope: the block that has them.
        pattern: the key of the pattern, and its value.
        route: the location's; it is closed if a condition that refuses can't be carried.
    """
    return [
        found
        for each in scope.own("if")
        if (found := _conditional(context, server, scope, each, pattern, route)) is not None
    ]


def _conditional(
    context: Context,
    server: Server,
    scope: Scope,
    statement: Statement,
    pattern: tuple[str, str],
    route: RouteDraft | None,
) -> RouteDraft | None:
    inner = statement.block or []
    returns = [each for each in inner if each.name == "return"]
    if route is not None and route.name and returns and _asks_for_upgrade(statement):
        route.put("upgrade_only", True, statement, *returns)
        context.ledger.differs(returns[0], "the answer is 426")
        return None
    condition = _condition(" ".join(statement.args))
    if condition is None or len(returns) != 1 or len(inner) > 1:
        for each in (statement, *inner):
            context.ledger.lost(each, _REMEDY)
        if route is not None and (_refuses(returns) or any(each.name != "return" for each in inner)):
            route.closed.append(f"{statement.text} could not be imported")
        return None
    made = new_route(context, server, "if", statement)
    made.put(pattern[0], pattern[1], statement)
    made.put(condition[0], condition[1], statement)
    place = Place(statement, Scope(inner, scope), made)
    place.known |= {"server_name": list(server.names[:1]), "server_names": list(server.names)}
    answer(context, place, returns[0])
    return made


def _refuses(returns: Sequence[Statement]) -> bool:
    return any(each.first.isdecimal() and int(each.first) >= 400 for each in returns)


def _asks_for_upgrade(statement: Statement) -> bool:
    found = _CONDITION.fullmatch(" ".join(statement.args))
    return found is not None and found[1] in _HAS_WORD and (found[2] or "").startswith("!")


def _condition(text: str) -> tuple[tuple[str, ...] | str, object] | None:
    found = _CONDITION.fullmatch(text)
    if found is None:
        return None
    variable, operator, word = found[1], found[2] or "", (found[3] or "").strip("\"'")
    if variable in ("scheme", "http_x_forwarded_proto"):
        scheme = {("=", "http"): "http", ("!=", "https"): "http", ("=", "https"): "https"}.get((operator, word))
        return None if scheme is None else ("scheme", scheme)
    if variable == "request_method" and operator == "=":
        return "methods", [word.upper()]
    if variable in ("host", "http_host") and operator == "=":
        return "hosts", [word]
    header = header_of(variable)
    table, name = ("headers", header) if header is not None else ("query", variable.removeprefix("arg_"))
    if header is None and not variable.startswith("arg_"):
        return None
    value = {"": True, "=": word or False, "~": {"regex": word}, "~*": {"regex": f"(?i){word}"}}.get(operator)
    return None if value is None else ((table, str(name)), value)
