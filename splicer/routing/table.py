"""All routes of a configuration: the first in file order that matches a request takes it."""

from __future__ import annotations

from splicer.errors import MethodNotAllowed, NotFound
from splicer.model import Match, Route
from splicer.routing.hosts import host_matches, host_name
from splicer.routing.pattern import ExactPath, leading_text


class RouteTable:
    """An immutable table of routes, asked once for each request.

    Invariant: the answer is the one that trying every route in file order gives. The table only leaves out
    routes whose pattern demands another first segment than the path has: each bucket holds, in file order, the
    routes that demand its segment and those that demand none.

    Args:
        routes: in file order.
    """

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes
        self._rest: list[Route] = []
        self._buckets: dict[str, list[Route]] = {}
        for route in routes:
            segment = _demanded_segment(route)
            if segment is not None:
                self._buckets.setdefault(segment, self._rest.copy()).append(route)
            else:
                for bucket in (*self._buckets.values(), self._rest):
                    bucket.append(route)

    def match(self, method: str, host: str, path: str) -> Match:
        """Find the route that takes a request; its `clients` are not judged here.

        Several routes with the same pattern and the same hosts are one resource with several methods. A route
        that names GET serves HEAD too (RFC 9110 §9.3.2).

        Args:
            method: as received.
            host: the authority that the request is for, as received; port, case and the root's dot don't count.
            path: as received, without the query.

        Raises:
            NotFound: no route matches.
            MethodNotAllowed: the resource is there, but none of its routes has this method.
        """
        name = host_name(host)
        candidates = self._buckets.get(_first_segment(path), self._rest)
        for route in candidates:
            captures = route.pattern.match(path)
            if captures is None or not host_matches(route.hosts, name):
                continue
            if _serves(route, method):
                return Match(route, captures)
            siblings = [other for other in candidates if same_resource(other, route)]
            for sibling in siblings:
                if _serves(sibling, method):
                    return Match(sibling, captures)
            raise MethodNotAllowed(tuple(dict.fromkeys(m for sibling in siblings for m in served_methods(sibling))))
        raise NotFound(f"no route for {path}")

    def explain(self, method: str, host: str, path: str) -> list[tuple[Route, str]]:
        """Tell why routes did not match: all before the one that `match` finds, or all there are.

        Args:
            method: these three are as for `match`.
            host: see there.
            path: see there.
        """
        name = host_name(host)
        resource: Route | None = None
        refused = []
        for route in self.routes:
            reason = _difference(route, name, path)
            if reason is None and resource is not None and not same_resource(route, resource):
                reason = f'not tried: the path belongs to route {resource.index} "{resource.name}"'
            if reason is None:
                if _serves(route, method):
                    break
                resource = resource or route
                reason = f"method {method} not allowed ({', '.join(served_methods(route))})"
            refused.append((route, reason))
        return refused


def same_resource(route: Route, other: Route) -> bool:
    """Whether two routes differ in their methods at most, as far as matching goes."""
    return route.pattern == other.pattern and set(route.hosts) == set(other.hosts)


def served_methods(route: Route) -> tuple[str, ...]:
    """A route's methods, with the HEAD that comes with GET; empty: any."""
    if "GET" in route.methods and "HEAD" not in route.methods:
        return (*route.methods, "HEAD")
    return route.methods


def _serves(route: Route, method: str) -> bool:
    return not route.methods or method in route.methods or (method == "HEAD" and "GET" in route.methods)


def _first_segment(path: str) -> str:
    """Up to the slash that ends the first segment: "/api" of "/api/v1"."""
    end = path.find("/", 1)
    return path if end < 0 else path[:end]


def _demanded_segment(route: Route) -> str | None:
    """The first segment of every path that the route matches, or None when there is no saying."""
    literal = leading_text(route.pattern)
    if literal.find("/", 1) > 0 or isinstance(route.pattern, ExactPath):
        return _first_segment(literal)
    return None


def _difference(route: Route, name: str, path: str) -> str | None:
    if route.pattern.match(path) is None:
        return f"{route.pattern.text} does not match"
    if not host_matches(route.hosts, name):
        return f"host {name or '(none)'} is not among {', '.join(route.hosts)}"
    return None
