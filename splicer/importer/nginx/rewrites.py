"""`rewrite` and `if`."""

from __future__ import annotations

from splicer.importer.draft import RouteDraft
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.source import Statement
from splicer.importer.nginx.values import (
    Part,
    Variable,
    as_template,
    as_value,
    begins_with_slash,
    expanded,
    named_groups,
    parts_of,
)
from splicer.importer.regex import literal

_REDIRECTS = {"redirect": 302, "permanent": 301}
_AGAIN = "nginx would look for a location again: write the route that the new path has, with this pattern"


def rewrites(context: Context, place: Place) -> list[RouteDraft]:
    """The routes of a location's `rewrite` directives, which come before its own.

    Args:
        context: gets the verdicts.
        place: the location, whose route is whole.
    """
    routes = []
    for statement in place.scope.own("rewrite"):
        route = _rewritten(context, place, statement)
        if route is not None:
            routes.append(route)
    return routes


def _rewritten(context: Context, place: Place, statement: Statement) -> RouteDraft | None:
    regex, replacement, *flags = (*statement.args, "")[:3]
    flag = flags[0] if flags else ""
    if flag != "break" and flag not in _REDIRECTS:
        context.ledger.lost(statement, _AGAIN)
        place.route.closed.append(f"{statement.text} could not be imported")
        return None
    pattern, groups = named_groups(regex)
    known: dict[str, list[Part]] = {**place.known, **{number: [Variable(name)] for number, name in groups.items()}}
    captures = place.captures | set(groups.values())
    parts = expanded(parts_of(replacement), known)
    route = _copy(context, place, pattern, statement)
    if flag in _REDIRECTS:
        to = as_value(parts, captures)
        if to is None:
            context.ledger.lost(statement, "there is no counterpart of its variables in a redirect")
            return None
        for path in [path for path in route.values if path[0] not in ("regex", "hosts", "clients", "clients_deny")]:
            route.drop(path)
        route.put(
            "redirect", {"to": to if to.endswith("?") else f"{to}?{{query}}", "status": _REDIRECTS[flag]}, statement
        )
        if _takes_all(place, regex):
            _become(place.route, route)
            return None
        return route
    template = as_template(parts, captures)
    first = parts[0] if parts else ""
    rooted = first.startswith("/") if isinstance(first, str) else begins_with_slash(pattern, first.name)
    if template is None or not rooted:
        context.ledger.lost(statement, "there is no counterpart of its variables in a path")
        place.route.closed.append(f"{statement.text} could not be imported")
        return None
    route.drop(("strip_prefix",))
    route.put("rewrite", template, statement)
    if _takes_all(place, regex):
        _become(place.route, route)
        return None
    return route


def _copy(context: Context, place: Place, pattern: str, statement: Statement) -> RouteDraft:
    name = next(
        each for each in (f"{place.route.name}-{number}" for number in range(2, 99)) if each not in context.names
    )
    context.names.add(name)
    route = RouteDraft(name=name, origin=statement.place, closed=list(place.route.closed))
    for path, value in place.route.values.items():
        if path[0] not in ("path", "prefix", "regex"):
            route.put(path, value, *place.route.sources[path])
    anchored = pattern.startswith("^") or place.prefix is None
    route.put("regex", pattern if anchored else f"^{literal(place.prefix or '')}.*{pattern}", statement)
    return route


def _takes_all(place: Place, regex: str) -> bool:
    """Whether the expression matches each path of the location, and takes all that follows its prefix."""
    prefix = literal(place.prefix or "\0")
    return regex in {f"^{prefix}{rest}" for rest in ("(.*)", "(.*)$", "/?(.*)$", "/?(.*)")} | {"^(.*)$", "(.*)"}


def _become(route: RouteDraft, other: RouteDraft) -> None:
    pattern = [source for key in ("path", "prefix") for source in route.sources.get((key,), [])]
    route.values, route.sources = other.values, other.sources
    route.sources[("regex",)] += pattern


def mark_unreached(context: Context, statements: list[Statement], why: str) -> None:
    """Directives behind one that answers every request."""
    for statement in statements:
        context.ledger.mark(statement, Verdict.NO_NEED, why)
        mark_unreached(context, statement.block or [], why)
