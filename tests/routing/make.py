"""Routes and requests for the tests of this room, and what a route table means."""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable
from typing import Literal

from hypothesis import strategies as st

from splicer.model import Deadlines, Network, Respond, Route
from splicer.patterns import Condition
from splicer.routing.normal import normal_form
from splicer.routing.pattern import compile_pattern
from splicer.routing.template import parse_template

Kind = Literal["path", "prefix", "regex"]


def make_route(
    kind: Kind = "prefix",
    text: str = "/",
    *,
    name: str = "a route",
    index: int = 1,
    hosts: tuple[str, ...] = (),
    methods: tuple[str, ...] = (),
    scheme: str | None = None,
    headers: tuple[Condition, ...] = (),
    query: tuple[Condition, ...] = (),
    clients: tuple[Network, ...] | None = None,
    encoded_slash: str = "forward",
    rewrite: str | None = None,
    strip_prefix: str | None = None,
) -> Route:
    return Route(
        index=index,
        name=name,
        pattern=compile_pattern(kind, text),
        deadlines=Deadlines(),
        hosts=hosts,
        methods=methods,
        scheme=scheme,
        headers=headers,
        query=query,
        clients=clients,
        encoded_slash=encoded_slash,
        respond=Respond(200),
        rewrite=None if rewrite is None else parse_template(rewrite),
        strip_prefix=strip_prefix,
    )


PATTERNS = st.one_of(
    st.tuples(st.just("path"), st.sampled_from(["/", "/a", "/a/", "/a/b", "/b", "/a/b/c", "*"])),
    st.tuples(st.just("prefix"), st.sampled_from(["/", "/a", "/a/", "/a/b", "/b/", "/ab"])),
    st.tuples(
        st.just("regex"),
        st.sampled_from(["^/a/(?<x>[^/]+)", "^/a/b", "^/a/?", "^/[ab]/", "b$", "^/a/|^/b/", "", "^/a/b/(?<x>.*)$"]),
    ),
)
HOSTS = st.sampled_from([(), (), ("a.x",), ("b.x", "a.x"), ("a.x", "b.x"), ("*.x",), ("*.a.x",), ("x",)])
METHODS = st.sampled_from([(), (), ("GET",), ("POST",), ("GET", "POST"), ("HEAD",), ("PUT",)])


@st.composite
def route_tables(draw: st.DrawFn) -> tuple[Route, ...]:
    """Routes that often want the same requests."""
    tables = draw(st.lists(st.tuples(PATTERNS, HOSTS, METHODS), max_size=8))
    return tuple(
        make_route(kind, text, name=f"route {index}", index=index, hosts=hosts, methods=methods)  # type: ignore[arg-type]  # sampled text is no Literal
        for index, ((kind, text), hosts, methods) in enumerate(tables, 1)
    )


@st.composite
def spelt(draw: st.DrawFn, path: str) -> str:
    """Another spelling of a path, given in its normal form."""
    return "".join([draw(_spellings(unit)) for unit in re.findall("%..|.", path)])


def _spellings(unit: str) -> st.SearchStrategy[str]:
    if unit == "/":
        return st.sampled_from(["/", "//", "///"])
    if unit[0] == "%":
        return st.sampled_from([unit, unit.lower()])
    if unit in string.ascii_letters + string.digits + "-._~":
        return st.sampled_from([unit, f"%{ord(unit):02x}", f"%{ord(unit):02X}"])
    return st.just(unit)


EVERY_REQUEST = list(
    itertools.product(
        ["GET", "HEAD", "POST", "PUT"],
        ["a.x", "b.x:80", "A.X.", "c.a.x", "x", "y", ""],
        ["/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "/b/b", "/ab", "/c/b", "*", "", "//a", "a/b", "/%61"],
    )
)
REQUESTS = st.sampled_from(EVERY_REQUEST)


def naive_match(
    routes: tuple[Route, ...], method: str, host: str, path: str, meets: Callable[[Route], bool] = lambda _: True
) -> Route | tuple[str, ...] | None:
    """What `RouteTable.match` means, in the plainest words: a route, or the methods allowed, or nothing.

    `meets` says whether the request meets the conditions of a route.
    """
    name = host.partition(":")[0].lower().removesuffix(".")
    for first in routes:
        hosts_match = not first.hosts or any(
            name == host or (host[0] == "*" and name.endswith(host[1:])) for host in first.hosts
        )
        if first.pattern.match(normal_form(path)) is not None and hosts_match and meets(first):
            break
    else:
        return None
    allowed: list[str] = []
    for route in routes:
        if _resource(route) == _resource(first):
            methods = [*route.methods, "HEAD"] if "GET" in route.methods else list(route.methods)
            if not methods or method in methods:
                return route
            allowed += methods
    return tuple(allowed)


def _resource(route: Route) -> object:
    return route.pattern, sorted(route.hosts), route.scheme, set(route.headers), set(route.query)
