"""Requests that tell configurations apart: made of their patterns, hosts, methods and conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from attrs import frozen

from splicer.comparison.samples import samples
from splicer.config.schema import Config
from splicer.model import Headers, Route
from splicer.patterns import Condition
from splicer.routing.normal import normal_form
from splicer.routing.pattern import leading_text

STRANGER = "stranger.example"
_NOT_IN_PATH = "!$&'()*+,;=:@/-._~%"
_METHODS = ("GET", "POST", "OPTIONS")


@frozen
class Question:
    """A request, as far as a route's choice depends on it.

    Args:
        method: its method.
        host: its Host.
        path: its path.
        query: what follows the "?"; None without one.
        headers: its fields but for the Host.
        scheme: "http" or "https".
    """

    method: str
    host: str
    path: str
    query: str | None = None
    headers: Headers = ()
    scheme: str = "http"

    @property
    def target(self) -> str:
        """Path and query."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def text(self) -> str:
        """For a person, and for the arguments of `splicer explain`."""
        fields = "".join(f" -H '{name.decode('latin-1')}: {value.decode('latin-1')}'" for name, value in self.headers)
        scheme = "" if self.scheme == "http" else f" ({self.scheme})"
        return f"{self.method} {self.target} -H 'Host: {self.host}'{fields}{scheme}"


def questions(*configs: Config) -> list[Question]:
    """Requests for each route of some configurations, each request once.

    Args:
        configs: what is compared; each gets the requests that the others' routes make.
    """
    found: dict[Question, None] = {}
    for config in configs:
        for route in config.routes:
            found |= dict.fromkeys(_of_route(route))
    return list(found)


def _of_route(route: Route) -> Iterator[Question]:
    """Requests that the route takes, and neighbours of these."""
    headers = [_field(test) for test in route.headers]
    query = [_parameter(test) for test in route.query]
    whole = tuple(field for field in headers if field is not None)
    asked = "&".join(each for each in query if each is not None) or None
    host, scheme, method = _host(route.hosts), route.scheme or "http", (*route.methods, "GET")[0]
    for path in paths_of(route):
        yield Question(method, host, path, asked, whole, scheme)
        yield Question(method, STRANGER, path, asked, whole, scheme)
    first = next(iter(paths_of(route)), "/")
    for other in route.hosts[1:]:
        yield Question(method, _host((other,)), first, asked, whole, scheme)
    for other in _METHODS:
        yield Question(other, host, first, asked, whole, scheme)
    yield Question(method, host, first, "q=1" if asked is None else f"{asked}&q=1", whole, scheme)
    if route.scheme is not None:
        yield Question(method, host, first, asked, whole, "https" if scheme == "http" else "http")
    for index in range(len(headers)):
        kept = tuple(field for place, field in enumerate(headers) if field is not None and place != index)
        yield Question(method, host, first, asked, kept, scheme)
    for test in route.headers:
        if test.kind == "absent":
            yield Question(method, host, first, asked, (*whole, (test.name.encode(), b"x")), scheme)
    if query:
        yield Question(method, host, first, None, whole, scheme)
    for test in route.query:
        if test.kind == "absent":
            there = f"{quote(test.name, safe='')}=x"
            yield Question(method, host, first, there if asked is None else f"{asked}&{there}", whole, scheme)


def _host(hosts: Sequence[str]) -> str:
    return STRANGER if not hosts else hosts[0].replace("*.", "any.", 1)


def paths_of(route: Route) -> list[str]:
    """Paths that a route's pattern matches, and such as nearly do."""
    kind, _, text = route.pattern.text.partition(" ")
    if kind == "regex":
        found = [_rooted(sample) for sample in samples(text)]
        found = [path for path in found if route.pattern.match(normal_form(path)) is not None] or [
            leading_text(route.pattern)
        ]
        found = [path for path in found if path.startswith("/")]
    else:
        found = [text]
    near = [other for path in found for other in (path, f"{path}x", path.rstrip("/") or "/", f"{path.rstrip('/')}/x/y")]
    return list(dict.fromkeys(near))


def _rooted(sample: str) -> str:
    path = quote(sample, safe=_NOT_IN_PATH)
    return path if path.startswith("/") else f"/{path}"


def _value(test: Condition) -> str | None:
    match test.kind:
        case "absent":
            return None
        case "present":
            return "x"
        case "regex":
            return next(
                (text for text in samples(test.text) if test.holds((text.encode(),)) and text.isprintable()), "x"
            )
    return test.text


def _field(test: Condition) -> tuple[bytes, bytes] | None:
    value = _value(test)
    return None if value is None else (test.name.encode(), value.encode())


def _parameter(test: Condition) -> str | None:
    value = _value(test)
    return None if value is None else f"{quote(test.name, safe='')}={quote(value, safe='')}"
