"""Routes that can never match, because an earlier route takes all their requests."""

from __future__ import annotations

from collections.abc import Iterable

from splicer.model import Route
from splicer.patterns import PathPattern
from splicer.routing.conditions import conditions_cover
from splicer.routing.hosts import hosts_cover
from splicer.routing.pattern import ExactPath, PrefixPath, leading_text
from splicer.routing.table import same_resource, served_methods


def shadowed(routes: Iterable[Route]) -> list[tuple[Route, Route]]:
    """Each route that can never match, with the earlier one that takes its requests.

    There are no false alarms: pairs that can't be decided, such as two regexes, are left out. `clients` and `origins`
    don't matter: they are checked after the match.
    """
    earlier: list[Route] = []
    pairs = []
    for route in routes:
        taker = _taker(earlier, route)
        if taker is not None:
            pairs.append((route, taker))
        earlier.append(route)
    return pairs


def _taker(earlier: list[Route], later: Route) -> Route | None:
    """The first earlier route that keeps every request from `later`.

    If a route's methods exclude a request, `RouteTable.match` goes on only to routes of the same resource, and answers
    405 if none has the method. So after a route of the same resource only such routes matter, by their methods.
    """
    resource_seen = False
    for route in earlier:
        if same_resource(route, later):
            resource_seen = True
            if not route.methods or (later.methods and set(later.methods) <= set(served_methods(route))):
                return route
        elif not resource_seen and _covers_all(route, later):
            return route
    return None


def _covers_all(earlier: Route, later: Route) -> bool:
    return (
        _covers(earlier.pattern, later.pattern)
        and hosts_cover(earlier.hosts, later.hosts)
        and conditions_cover(earlier, later)
    )


def _covers(earlier: PathPattern, later: PathPattern) -> bool:
    if earlier == later:
        return True
    if isinstance(later, ExactPath):
        return earlier.match(later.path) is not None
    return isinstance(earlier, PrefixPath) and leading_text(later).startswith(earlier.prefix)
