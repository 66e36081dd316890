"""``[[routes]]``: converting one table to a `Route`, and back."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from splicer.authorization import Authorize
from splicer.config.authorize import AuthorizeSpec
from splicer.config.deadlines import of_a_route
from splicer.config.keys import shared
from splicer.config.reader import Fault, Reader
from splicer.config.route_checks import broken_rules
from splicer.config.route_spec import RouteSpec
from splicer.config.split import Weights
from splicer.edits import Edits
from splicer.hook_settings import HookSettings
from splicer.model import Deadlines, Route, Split, Upstream
from splicer.patterns import PathPattern
from splicer.routing.pattern import PrefixPath

ROUTE = Reader(RouteSpec)


def read_route(
    index: int,
    table: object,
    upstreams: Mapping[str, Upstream | None] | None,
    inherited: Deadlines,
    hooks: Mapping[str, HookSettings | None] | None = None,
) -> tuple[Route | None, tuple[Fault, ...]]:
    """One route, or None and all its faults.

    Args:
        index: its position in the file, from 1.
        table: the value that TOML gave.
        upstreams: by name, None for one with faults; None instead of the mapping if the upstreams could not be read.
        inherited: the values of ``[deadlines]``.
        hooks: as `upstreams`.
    """
    reading = ROUTE.read(table)
    spec = reading.value
    if spec is None:
        return None, reading.faults
    faults = (*reading.faults, *broken_rules(spec, reading, upstreams, hooks))
    pattern = spec.path or spec.prefix or spec.regex
    if faults or pattern is None or upstreams is None or (spec.hooks and hooks is None):
        return None, faults
    return _route(index, spec, pattern, upstreams, inherited, hooks or {}), ()


def _route(
    index: int,
    spec: RouteSpec,
    pattern: PathPattern,
    upstreams: Mapping[str, Upstream | None],
    inherited: Deadlines,
    hooks: Mapping[str, HookSettings | None],
) -> Route:
    split = _split(spec, upstreams)
    converted = {
        "deadlines": evolve(inherited, **spec.deadlines),
        "encoded_slash": spec.encoded_slash_in_force,
        "hooks": tuple(hook for name in spec.hooks if (hook := hooks[name]) is not None),
        "authorize": None if spec.authorize is None else _compiled(spec.authorize, upstreams),
        "upstream": None if split is None else split.shares[0][0],
        "split": None if isinstance(spec.upstream, str) else split,
        "edits": _edits(spec),
        "fallback": None if spec.fallback is None else upstreams[spec.fallback],
        "fallback_on": frozenset(spec.fallback_on),
        "strip_prefix": pattern.prefix if spec.strip_prefix and isinstance(pattern, PrefixPath) else None,
    }
    return Route(index=index, pattern=pattern, **(shared(spec, Route) | converted))


def _split(spec: RouteSpec, upstreams: Mapping[str, Upstream | None]) -> Split | None:
    """All upstreams with their weights; None without any."""
    weights = spec.weights
    shares = [(upstream, weight) for name, weight in weights if (upstream := upstreams[name]) is not None]
    return Split(tuple(shares), spec.hash_on) if shares else None


def _upstream(route: Route) -> str | Weights | None:
    if route.split is not None:
        return tuple((upstream.name, weight) for upstream, weight in route.split.shares)
    return None if route.upstream is None else route.upstream.name


def _edits(spec: RouteSpec) -> Edits | None:
    edits = Edits(spec.host, spec.request_headers, spec.response_headers)
    return None if edits == Edits() else edits


def spec_of(route: Route) -> RouteSpec:
    """The equivalent table with every default written out: the inverse of `read_route`."""
    kind, _, _ = route.pattern.text.partition(" ")
    edits = route.edits or Edits()
    converted = {
        kind: route.pattern,
        "host": edits.host,
        "request_headers": edits.request,
        "response_headers": edits.response,
        "deadlines": of_a_route(route.deadlines),
        "hooks": tuple(hook.name for hook in route.hooks),
        "authorize": None if route.authorize is None else _named(route.authorize),
        "upstream": _upstream(route),
        "hash_on": None if route.split is None else route.split.hash_on,
        "fallback": None if route.fallback is None else route.fallback.name,
        "fallback_on": tuple(sorted(route.fallback_on)),
        "strip_prefix": route.strip_prefix is not None,
    }
    return RouteSpec(**(shared(route, RouteSpec) | converted))


def _compiled(spec: AuthorizeSpec, upstreams: Mapping[str, Upstream | None]) -> Authorize[Upstream]:
    upstream = upstreams[spec.upstream]
    assert upstream is not None  # noqa: S101 - `broken_rules` has found no fault
    return Authorize(**(shared(spec, Authorize) | {"upstream": upstream}))


def _named(rule: Authorize[Upstream]) -> AuthorizeSpec:
    return AuthorizeSpec(**(shared(rule, AuthorizeSpec) | {"upstream": rule.upstream.name}))
