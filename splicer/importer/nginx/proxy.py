"""`proxy_pass`: the upstream and the path of a route."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from attrs import frozen

from splicer.importer.draft import Named, RouteDraft, upstreams_of
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.groups import host_and_port, lead_to_group, qualified
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.proxy_tls import secure
from splicer.importer.nginx.source import Statement
from splicer.importer.nginx.values import Part, Variable, as_template, begins_with_slash
from splicer.importer.paths import replace_prefix
from splicer.importer.upstreams import upstream_at

_SAME_PATH = frozenset({"request_uri", "uri", "document_uri"})
_QUERY = frozenset({"is_args", "args", "query_string"})
_PORT = re.compile(r".*:\d+$", re.DOTALL)
_IN_PATH = "!$&'()*+,;=:@/-._~%"
NORMALISED = (
    "nginx matches the decoded path with merged slashes, and sends it so where proxy_pass has a path or variables; "
    "variables also drop the query. splicer matches the same spellings, but forwards the client's bytes and its query."
)


@frozen
class Target:
    """A `proxy_pass` taken apart.

    Args:
        statement: the directive.
        secure: https.
        host: with variables, and a port.
        path: with variables; None: there is none.
    """

    statement: Statement
    secure: bool
    host: tuple[Part, ...]
    path: tuple[Part, ...] | None

    @property
    def has_variables(self) -> bool:
        """Whether nginx would compute it for each request."""
        return any(isinstance(part, Variable) for part in (*self.host, *(self.path or ())))


def target_of(place: Place, statement: Statement) -> Target | None:
    """Take apart a `proxy_pass`; None: it is no HTTP URL."""
    parts = place.parts(statement.first)
    scheme = re.match(r"(https?)://", parts[0]) if parts and isinstance(parts[0], str) else None
    if scheme is None:
        return None
    rest = [part for part in (str(parts[0])[scheme.end() :], *parts[1:]) if part != ""]
    host: list[Part] = []
    for index, part in enumerate(rest):
        if isinstance(part, Variable):
            named = place.regex and begins_with_slash(place.regex, part.name)
            over = host and isinstance(host[-1], str) and _PORT.match(host[-1])
            if part.name in _SAME_PATH or named or over:
                return Target(statement, scheme[1] == "https", tuple(host), tuple(rest[index:]))
            host.append(part)
        elif "/" in part:
            before, _, after = part.partition("/")
            host += [before] if before else []
            return Target(statement, scheme[1] == "https", tuple(host), (f"/{after}", *rest[index + 1 :]))
        else:
            host.append(part)
    return Target(statement, scheme[1] == "https", tuple(host), None)


def lead(context: Context, place: Place, target: Target, route: RouteDraft) -> None:
    """Set a route's upstream.

    Args:
        context: gets the upstream.
        place: the location.
        target: of its `proxy_pass`.
        route: the route; where the target can't be carried, it is closed.
    """
    statement = target.statement
    sources = (statement, *place.steps) if target.has_variables else (statement,)
    host = as_template(target.host, place.captures)
    if host is None:
        names = ", ".join(f"${part.name}" for part in target.host if isinstance(part, Variable))
        context.ledger.lost(
            statement,
            f"{names} chooses the host: write an upstream for each, or take a label of the path by the route's regex",
        )
        route.closed.append(f"{names} chooses the host of {statement.text}")
        return
    if (group := context.groups.get(host)) is not None:
        lead_to_group(context, route, group, statement)
        if target.secure:
            tables = [context.draft.upstreams[name] for name in upstreams_of(route)]
            secure(context, place, tables, statement, group.first)
        return
    try:
        name, port = host_and_port(host, 443 if target.secure else 80)
    except ValueError as error:
        context.ledger.lost(statement, str(error))
        route.closed.append(str(error))
        return
    wish = next((part.name for part in target.host if isinstance(part, Variable)), name.partition(".")[0])
    scratch = Named()
    if target.secure:
        secure(context, place, [scratch], statement, None)
    upstream = upstream_at(context.draft, wish, qualified(context, name, statement), port, *sources, more=scratch)
    route.put("upstream", upstream.name, *sources)


def path_for_pod(context: Context, place: Place, target: Target, route: RouteDraft) -> None:
    """Set what the pod gets as its path: `rewrite`, `strip_prefix`, or neither.

    Args:
        context: gets the differences.
        place: the location.
        target: of its `proxy_pass`.
        route: the route.
    """
    if target.path is None:
        return
    context.ledger.notice(NORMALISED)
    if not target.has_variables:
        _replace_prefix(place, str(target.path[0]) if target.path else "/", target.statement, route)
        return
    parts = _without_query(target.path)
    if parts and isinstance(parts[0], Variable) and parts[0].name in _SAME_PATH and len(parts) == 1:
        return
    template = as_template([quote(p, safe=_IN_PATH) if isinstance(p, str) else p for p in parts], place.captures)
    if template is None:
        route.closed.append(f"the path of {target.statement.text} has a variable without a counterpart")
        context.ledger.lost(target.statement, "its path has a variable without a counterpart; write a rewrite")
        return
    if len(parts) == 1 and place.prefix is not None and target.path == (place.prefix,):
        return
    route.put("rewrite", template, target.statement, *place.steps)


def _without_query(parts: Sequence[Part]) -> list[Part]:
    """The parts without a query that is the client's own, which is kept anyway."""
    kept = [part for part in parts if not (isinstance(part, Variable) and part.name in _QUERY)]
    if len(kept) < len(parts) and kept and isinstance(kept[-1], str):
        kept[-1] = kept[-1].removesuffix("?")
    return [part for part in kept if part != ""]


def _replace_prefix(place: Place, path: str, statement: Statement, route: RouteDraft) -> None:
    """Nginx puts the path of `proxy_pass` in the place of the location's own."""
    replace_prefix(route, quote(path, safe=_IN_PATH), statement)


def mark_sets(context: Context, place: Place) -> None:
    """The `set` directives of a location whose value nobody uses."""
    for step in place.steps:
        if not context.ledger.is_marked(step):
            context.ledger.mark(step, Verdict.NO_NEED, "nothing that was imported uses the variable")
