"""All routes of a configuration; the first one in file order that matches a request takes it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from splicer.errors import BadRequest, MethodNotAllowed, NotFound
from splicer.model import Headers, Match, Route
from splicer.patterns import Span
from splicer.routing.conditions import Asked, are_met, conditions_of, first_unmet
from splicer.routing.hosts import host_matches, host_name
from splicer.routing.normal import cut_out, decoded_form, normal_form
from splicer.routing.pattern import ExactPath, leading_text

_NO_CAPTURES: Mapping[str, str] = MappingProxyType({})


class RouteTable:
    """An immutable table of routes, used once for each request.

    Invariant: the result is the same as that of trying every route in file order. The table only skips routes whose
    pattern requires another first segment than the path has: each bucket holds, in file order, the routes that require
    its segment and those that require none.

    Args:
        routes: in file order.
    """

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes
        self._guarded = any(map(_is_guarded, routes))
        self._parameters = frozenset(test.name.encode() for route in routes for test in route.query)
        self._has_hosts = any(route.hosts for route in routes)
        self._conditional = any(conditions_of(route) for route in routes)
        self._rest: list[Route] = []
        self._buckets: dict[str, list[Route]] = {}
        for route in routes:
            segment = _required_segment(route)
            if segment is not None:
                self._buckets.setdefault(segment, self._rest.copy()).append(route)
            else:
                for bucket in (*self._buckets.values(), self._rest):
                    bucket.append(route)

    def match(
        self, method: str, host: str, path: str, headers: Headers = (), query: str | None = None, scheme: str = "http"
    ) -> Match:
        """Find the route that takes a request; its `clients` are not checked here.

        Several routes with the same pattern, hosts and conditions are one resource with several methods. A route
        that names GET serves HEAD too (RFC 9110 §9.3.2).

        Invariant: all paths with the same normal form get the same route, and the same captures except for their
        spelling, which is the client's.

        Args:
            method: as received.
            host: the authority that the request is for, as received; port, case and the root's dot don't count.
            path: as received, without the query.
            headers: all fields, for the routes' conditions.
            query: the text after the first "?", or None without one.
            scheme: "http" or "https".

        Raises:
            NotFound: no route matches.
            MethodNotAllowed: the resource exists, but none of its routes has this method.
            BadRequest: an encoded slash that the route refuses, a path that a guarded route would take if it were
                decoded, or a capture that ends inside an encoded byte.
        """
        name = host_name(host) if self._has_hosts else ""
        normal = normal_form(path)
        asked = Asked(headers, query, scheme, self._parameters) if self._conditional else None
        takers, spans = self._takers(method, name, normal, asked)
        if self._guarded and "%" in normal:
            self._check_encoding(method, name, normal, asked, takers)
        if not takers:
            raise NotFound(f"no route for {path}")
        route = takers[0]
        if route.methods and not _serves(route, method):
            raise MethodNotAllowed(tuple(dict.fromkeys(m for taker in takers for m in served_methods(taker))))
        return Match(route, cut_out(path, spans) if spans else _NO_CAPTURES)

    def _takers(
        self, method: str, name: str, normal: str, asked: Asked | None
    ) -> tuple[tuple[Route, ...], Mapping[str, Span]]:
        """The route that takes a request; all routes of its resource if none has the method; () if none matches."""
        candidates = self._buckets.get(_first_segment(normal), self._rest)
        for route in candidates:
            spans = route.pattern.match(normal)
            if spans is None or (route.hosts and not host_matches(route.hosts, name)):
                continue
            if asked is not None and not are_met(route, asked):
                continue
            if not route.methods or _serves(route, method):
                return (route,), spans
            siblings = tuple(other for other in candidates if same_resource(other, route))
            return next(((sibling,) for sibling in siblings if _serves(sibling, method)), siblings), spans
        return (), {}

    def _check_encoding(
        self, method: str, name: str, normal: str, asked: Asked | None, takers: tuple[Route, ...]
    ) -> None:
        for route in takers:
            if route.encoded_slash == "refuse" and "%2F" in normal:
                raise BadRequest(f'route {route.index} "{route.name}" refuses an encoded slash')
        # A pod that decodes the path before it matches would serve a resource that another route guards.
        for route in self._takers(method, name, decoded_form(normal), asked)[0]:
            if _is_guarded(route) and route not in takers:
                raise BadRequest(f'decoded, the path would belong to route {route.index} "{route.name}"')

    def explain(
        self, method: str, host: str, path: str, headers: Headers = (), query: str | None = None, scheme: str = "http"
    ) -> list[tuple[Route, str]]:
        """Say why each route before the one that `match` finds did not match; all routes if it finds none.

        Args:
            method: as for `match`.
            host: as for `match`.
            path: as for `match`.
            headers: as for `match`.
            query: as for `match`.
            scheme: as for `match`.
        """
        name, normal = host_name(host), normal_form(path)
        asked = Asked(headers, query, scheme, self._parameters)
        resource: Route | None = None
        refused = []
        for route in self.routes:
            reason = _difference(route, name, normal) or first_unmet(route, asked)
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
    """Whether the matching rules of two routes differ at most in their methods."""
    return (
        route.pattern == other.pattern
        and set(route.hosts) == set(other.hosts)
        and conditions_of(route) == conditions_of(other)
    )


def _is_guarded(route: Route) -> bool:
    return route.encoded_slash == "refuse" or route.guarded


def served_methods(route: Route) -> tuple[str, ...]:
    """A route's methods, with HEAD if it has GET; empty: any."""
    if "GET" in route.methods and "HEAD" not in route.methods:
        return (*route.methods, "HEAD")
    return route.methods


def _serves(route: Route, method: str) -> bool:
    return not route.methods or method in route.methods or (method == "HEAD" and "GET" in route.methods)


def _first_segment(path: str) -> str:
    """The first segment of a path in normal form, with its leading slash: "/api" of "/api/v1"."""
    end = path.find("/", 1)
    return path if end < 0 else path[:end]


def _required_segment(route: Route) -> str | None:
    """The first segment of every path that the route matches, or None when it is not known to be the same."""
    literal = leading_text(route.pattern)
    if literal.find("/", 1) > 0 or isinstance(route.pattern, ExactPath):
        return _first_segment(literal)
    return None


def _difference(route: Route, name: str, normal: str) -> str | None:
    if route.pattern.match(normal) is None:
        return f"{route.pattern.text} does not match"
    if not host_matches(route.hosts, name):
        return f"host {name or '(none)'} is not among {', '.join(route.hosts)}"
    return None
