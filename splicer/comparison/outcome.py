"""What a configuration does with a request, as texts that can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import asdict

from splicer.comparison.questions import Question
from splicer.config.route_spec import RouteSpec
from splicer.config.routes import ROUTE, spec_of
from splicer.config.schema import Config
from splicer.config.values import format_duration
from splicer.edits import RequestFacts
from splicer.errors import SplicerError
from splicer.model import Match, Route, Upstream, authority
from splicer.routing.hosts import host_name
from splicer.routing.rewrite import target_path
from splicer.routing.table import RouteTable
from splicer.routing.template import render_host

CLIENT = "203.0.113.9"  # RFC 5737
WHERE = ("answer", "upstream", "path", "host", "fallback")  # where a request goes; the rest is how it is handled

# Matching, or rendered for the request.
_APART = frozenset(
    {
        "name", "path", "prefix", "regex", "hosts", "methods", "scheme", "headers", "query", "upstream", "rewrite",
        "strip_prefix", "host", "fallback", "respond", "redirect", "deadlines", "encoded_slash",
    }
)  # fmt: skip

_NOT_ITS_OWN = ("head", "drain")  # the same for all routes

Outcome = Mapping[str, str]


class Answers:
    """Answers questions by one configuration.

    Args:
        config: the configuration.
    """

    def __init__(self, config: Config) -> None:
        self._table = RouteTable(config.routes)
        self._how: dict[int, Outcome] = {}

    def ask(self, question: Question) -> tuple[str, Outcome]:
        """The name of the route that takes a request, "" for none, and what it does with it.

        Args:
            question: the request.
        """
        asked = question
        try:
            match = self._table.match(asked.method, asked.host, asked.path, asked.headers, asked.query, asked.scheme)
        except SplicerError as error:
            return "", {"answer": f"{error.status} {error.reason}"}
        try:
            outcome = {**self._handled(match.route), **dict(_where(match, asked))}
        except SplicerError as error:
            outcome = {"answer": f"{error.status} {error.reason}"}
        return match.route.name, outcome

    def _handled(self, route: Route) -> Outcome:
        """What is the same for all requests of a route."""
        if route.index not in self._how:
            self._how[route.index] = dict(_how(route))
        return self._how[route.index]


def _how(route: Route) -> Iterator[tuple[str, str]]:
    spec, default = spec_of(route), RouteSpec()
    for name, key in ROUTE.keys.items():
        value = getattr(spec, name)
        if name not in _APART and value != getattr(default, name):
            yield name, key.brief(value)
    if route.upstream is not None:
        times = asdict(route.deadlines).items()
        yield from ((f"deadlines.{key}", format_duration(value)) for key, value in times if key not in _NOT_ITS_OWN)


def _where(match: Match, question: Question) -> Iterator[tuple[str, str]]:
    route = match.route
    facts = RequestFacts(
        captures=match.captures,
        host=host_name(question.host),
        path=question.path,
        query=question.query,
        client=CLIENT,
        scheme=question.scheme,
        request_id="id",
        headers=question.headers,
    )
    if route.redirect is not None:
        yield "answer", f"{route.redirect.status} {route.redirect.to.render(facts)}"
    elif route.upstream is None:
        yield "answer", ROUTE.keys["respond"].brief(route.respond)
    else:
        shares = route.split.shares if route.split is not None else ((route.upstream, 1),)
        several = len(shares) > 1
        yield (
            "upstream",
            ", ".join(_endpoint(each, match) + (f" ({weight})" if several else "") for each, weight in shares),
        )
        yield "path", target_path(match, question.path, question.query)
        if route.edits is not None and route.edits.host is not None:
            yield "host", route.edits.host.render(facts)
        if route.fallback is not None:
            yield "fallback", _endpoint(route.fallback, match)


def _endpoint(upstream: Upstream, match: Match) -> str:
    rule, port = match.route.authorize, upstream.text.rpartition(":")[2]
    if rule is not None and upstream.host.captures & rule.names:
        known = {**match.captures, **{name: f"{{{name}}}" for name in rule.names}}
        return authority(upstream.host.render(known), port)
    return authority(render_host(upstream.host, match.captures), port)
