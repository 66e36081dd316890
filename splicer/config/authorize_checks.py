"""The rules between a route's `authorize` and its other keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from splicer.config.authorize import AuthorizeSpec
from splicer.config.reader import Fault
from splicer.config.route_spec import RouteSpec
from splicer.config.scalars import show, suggest
from splicer.model import Upstream
from splicer.patterns import PathPattern


def authorize_faults(
    spec: RouteSpec, rule: AuthorizeSpec, given: frozenset[str], upstreams: Mapping[str, Upstream | None] | None
) -> Iterator[Fault]:
    """The faults of `authorize` beside the route's pattern, its fallback and the upstreams.

    Args:
        spec: made from the keys without faults.
        rule: its `authorize`.
        given: the keys that the table has.
        upstreams: see `route_checks.broken_rules`.
    """
    if upstreams is not None:
        yield from _upstream_faults(rule.upstream, upstreams)
    for kind, pattern in (("path", spec.path), ("prefix", spec.prefix), ("regex", spec.regex)):
        for name in sorted(rule.names & pattern.captures) if pattern is not None else ():
            yield Fault(("authorize", "captures", name), f"comes from the {kind} already; choose another name")
    if rule.on_failure == "fallback" and "fallback" not in given:
        yield Fault(("authorize", "on_failure"), '"fallback" needs fallback, the upstream that then takes the request')
    if rule.on_failure == "allow" and rule.captures:
        yield Fault(
            ("authorize", "on_failure"),
            'can\'t be "allow" beside captures, which no answer would give; write "fallback" or "refuse"',
        )


def _upstream_faults(name: str, upstreams: Mapping[str, Upstream | None]) -> Iterator[Fault]:
    path = ("authorize", "upstream")
    if name not in upstreams:
        yield Fault(path, f"unknown upstream {show(name)}{suggest(name, upstreams)}")
    elif (upstream := upstreams[name]) is not None and upstream.host.captures:
        yield Fault(path, f"{upstream.host.text} is not one address; an authorizer is an upstream without captures")


def without_answer(key: str, captures: Set[str], rule: AuthorizeSpec, pattern: PathPattern) -> Fault | None:
    """The fault of a key that counts when the authorizer has failed, and needs a capture of its answer.

    Args:
        key: the key.
        captures: all that it needs.
        rule: the route's `authorize`.
        pattern: the route's.
    """
    names = sorted((captures & rule.names) - pattern.captures)
    if key not in ("fallback", "rewrite", "host") or rule.on_failure != "fallback" or not names:
        return None
    remedy = 'write authorize.on_failure = "refuse"' if key != "fallback" else "name an upstream without it"
    return Fault((key,), f"{{{names[0]}}} is not known when the authorizer has failed, and that leads here; {remedy}")
