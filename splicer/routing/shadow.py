"""Routes that can never match, because an earlier one takes all that they would."""

from __future__ import annotations

from collections.abc import Iterable

from splicer.model import PathPattern, Route
from splicer.routing.hosts import hosts_cover
from splicer.routing.pattern import ExactPath, PrefixPath, leading_text
from splicer.routing.table import same_resource, served_methods


def shadowed(routes: Iterable[Route]) -> list[tuple[Route, Route]]:
    """Each route that can never match, with the earlier one that takes its place.

    Never a false alarm: what can't be decided (a regex against another, say) is passed over. `clients` don't
    matter: they are judged after the match.
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
    """The first route that `RouteTable.match` can't get past with any request that `later` matches.

    Methods let a request past only to a route of the same resource; any other gets 405 from the first match. So
    after a route of the same resource only such routes matter, and those by their methods.
    """
    resource_seen = False
    for route in earlier:
        if same_resource(route, later):
            resource_seen = True
            if not route.methods or (later.methods and set(later.methods) <= set(served_methods(route))):
                return route
        elif not resource_seen and _covers(route.pattern, later.pattern) and hosts_cover(route.hosts, later.hosts):
            return route
    return None


def _covers(earlier: PathPattern, later: PathPattern) -> bool:
    if earlier == later:
        return True
    if isinstance(later, ExactPath):
        return earlier.match(later.path) is not None
    return isinstance(earlier, PrefixPath) and leading_text(later).startswith(earlier.prefix)
