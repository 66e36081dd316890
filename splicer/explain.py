"""`splicer explain`: which route a request takes, and why not another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import asdict, frozen

from splicer.authorization import Authorize
from splicer.config.error_pages import ErrorPage, by_status
from splicer.config.route_spec import RouteSpec
from splicer.config.routes import ROUTE, spec_of
from splicer.config.scalars import printable
from splicer.config.schema import Config
from splicer.config.upstreams import UPSTREAM
from splicer.config.values import format_duration
from splicer.errors import BadRequest, SplicerError
from splicer.http1.forwarded import Forwarding, forwarding
from splicer.http1.request import parse_request
from splicer.model import Match, RequestHead, Respond, Route, Split, Upstream
from splicer.routing.normal import normal_form
from splicer.routing.rewrite import target_path
from splicer.routing.split import by_key, key_of
from splicer.routing.table import RouteTable
from splicer.routing.template import render_host
from splicer.session.edits import RouteEdits, facts_of

_PATTERNS = ("path", "prefix", "regex")
_ANSWERS = ("respond", "redirect", "hooks", "authorize", "upstream", "hash_on")
_NAMED = ("name", *_PATTERNS, "clients", "client_names", *_ANSWERS, "rewrite", "strip_prefix", "host")
_PROXY = ", as from one of server.trusted_proxies"
_NO_PROXY = ": X-Forwarded-Proto is not believed without server.trusted_proxies"
_WITH_OWN_LINE = frozenset((*_NAMED, "upgrade", "upgrade_only", "fallback", "fallback_on", "retries", "deadlines"))


@frozen
class Explanation:
    """The output of `splicer explain`.

    Args:
        lines: for a person; printable, whatever the input.
        found: whether a route serves the request.
    """

    lines: tuple[str, ...]
    found: bool


def explain(config: Config, method: str, target: str, headers: Sequence[str]) -> Explanation:
    """Process a request with the same parser and the same route table as the edge does.

    Args:
        config: the configuration.
        method: the request's method.
        target: the request target: a path, with or without a query.
        headers: "Name: value" each; without a Host, "localhost" is used.

    Returns:
        An explanation in every case: for an invalid request, it is the error with which the edge would answer.
    """
    if not any(header.lower().startswith("host:") for header in headers):
        headers = ("Host: localhost", *headers)
    lines = [f"{method} {target}", *(f"  {header}" for header in headers), ""]
    table = RouteTable(config.routes)
    try:
        head, _ = parse_request(_raw_head(method, target, headers), limit=config.limits.head_bytes)
        if (normal := normal_form(head.path)) != head.path:
            lines += [f"  matched as {normal}"]
        origin = _origin(config, head)
        if any(route.scheme for route in config.routes):
            lines += [f"  matched with scheme {origin.proto}{_PROXY if config.server.trusted_proxies else _NO_PROXY}"]
        asked = (head.method, head.host, head.path, head.headers, head.query, origin.proto)
        lines += [f"  {route.index} {route.name}: {why}" for route, why in table.explain(*asked)]
        match = table.match(*asked)
        lines.append("")
        for line in _serving(match, head, origin):  # appended one by one, so that the lines before a fault are kept
            lines.append(line)
        lines += [f"errors     {' '.join(map(str, page.status))}: {_page(page)}" for page in config.errors]
    except SplicerError as error:
        page = by_status(config.errors).get(error.status)
        body = "" if page is None else f" (with {_page(page)})"
        return _explanation((*lines, "", f"{error.status}: {error.detail}{body}"), found=False)
    return _explanation(lines, found=True)


def _page(page: ErrorPage) -> str:
    return f"a body of [[errors]], {page.content_type}"


def _origin(config: Config, head: RequestHead) -> Forwarding:
    """Where the request comes from: from the first of `trusted_proxies`, if there are any."""
    trusted = config.server.trusted_proxies
    peer = str(trusted[0].network_address) if trusted else ""
    return forwarding(head, peer, trusted, "")


def _raw_head(method: str, target: str, headers: Sequence[str]) -> bytes:
    """The head as a client would send it.

    Invariant: no part contains a line break, so none can add a header.
    """
    for kind, parts in (("the method", [method]), ("the target", [target]), ("a header", headers)):
        if any("\r" in part or "\n" in part for part in parts):
            raise BadRequest(f"line break in {kind}")
    if "" in headers:
        raise BadRequest("field line without a colon")
    # A lone surrogate is a byte of the command line that is not UTF-8 (PEP 383), or garbage; it must not become a "?".
    return "\r\n".join((f"{method} {target} HTTP/1.1", *headers, "", "")).encode("utf-8", "surrogatepass")


def _explanation(lines: Sequence[str], *, found: bool) -> Explanation:
    """Escape each line for a terminal: the arguments, or a regex of the file, may hold any character."""
    return Explanation(tuple(map(printable, lines)), found)


def _serving(match: Match, head: RequestHead, origin: Forwarding) -> Iterator[str]:
    route = match.route
    yield f"route      {route.index} {route.name} ({route.pattern.text})"
    if match.captures:
        yield "captures   " + ", ".join(f"{name} = {value}" for name, value in match.captures.items())
    if route.client_names:
        yield "clients    with a certificate for " + " or ".join(route.client_names) + " (403 for others)"
    if route.clients is not None:
        yield "clients    " + ", ".join(map(str, route.clients)) + " (403 for others)"
    yield from _other_keys(route)
    if isinstance(route.respond, Respond):
        yield f"respond    {route.respond.status} {route.respond.body.decode('utf-8', 'replace')!r}"
    elif route.respond is not None:
        yield "respond    the stub_status page"
    elif route.redirect is not None:
        yield f"redirect   {route.redirect.status} {route.redirect.to.render(facts_of(match, head, origin))}"
    else:
        yield from _forwarding(match, route, head, origin)


def _other_keys(route: Route) -> Iterator[str]:
    """All keys that differ from their defaults, without those that have a line of their own."""
    spec, default = spec_of(route), RouteSpec()
    for name, key in ROUTE.keys.items():
        value = getattr(spec, name)
        if name not in _WITH_OWN_LINE and value != getattr(default, name):
            yield f"{name:<10} {key.brief(value)}"


def _choice(split: Split, match: Match, head: RequestHead) -> Iterator[str]:
    whole = sum(weight for _, weight in split.shares)
    shares = [f"{upstream.name} {100 * weight / whole:.3g} %" for upstream, weight in split.shares]
    yield f"upstream   {', '.join(shares)}"
    if split.hash_on is None:
        return
    if split.hash_on.source == "client":
        yield "hash_on    client: one of them for each address"
        return
    if split.hash_on.source == "capture" and split.hash_on.name in match.route.later_captures:
        yield f"hash_on    {split.hash_on}: known when hooks and authorizer have answered"
        return
    key = key_of(split.hash_on, head, match.captures, "")
    chosen = "absent, so chance decides" if key is None else f"{by_key(split, key).name} for this request"
    yield f"hash_on    {split.hash_on}: {chosen}"


def _forwarding(match: Match, route: Route, head: RequestHead, origin: Forwarding) -> Iterator[str]:
    assert route.upstream is not None  # noqa: S101 - the caller has looked at the other answers
    for hook in route.hooks:
        gives = f", gives {', '.join(f'{{{name}}}' for name in hook.captures)}" if hook.captures else ""
        yield f"hook       {hook.name}: {hook.use}{gives} (not called here; on failure: {hook.on_failure})"
    if route.authorize is not None:
        yield _question(route.authorize)
    match = _asked(match)
    if route.split is None:
        yield f"upstream   {route.upstream.name}"
    else:
        yield from _choice(route.split, match, head)
    for upstream in route.upstreams:
        name = f" ({upstream.name})" if route.split else ""
        yield f"target     {_host(match, upstream)}:{upstream.port_text}{name}"
        yield from _discovery(upstream, name)
    yield f"path       {target_path(match, head.path, head.query)}"
    if route.edits is not None and route.edits.host is not None:
        yield f"host       {_pod_host(RouteEdits(route.edits, facts_of(match, head, origin)), route)}"
    statuses = " ".join(map(str, sorted(route.fallback_on)))
    if route.retries:
        yield f"retries    {route.retries}, each at another endpoint (unreachable, or {statuses})"
    if route.fallback is not None:
        target = f"{_host(match, route.fallback)}:{route.fallback.port_text}"
        yield f"fallback   {route.fallback.name}, {target} (unreachable, or {statuses})"
        yield from _discovery(route.fallback, f" ({route.fallback.name})")
    else:
        yield "fallback   none"
    yield from _limits(route)
    if route.upgrade:
        yield f"upgrade    {', '.join(route.upgrade)}" + (" only" if route.upgrade_only else "")
    yield "deadlines  " + ", ".join(f"{key} {format_duration(value)}" for key, value in asdict(route.deadlines).items())


def _limits(route: Route) -> Iterator[str]:
    for upstream in dict.fromkeys(route.destinations):
        for name in ("max_tunnels", "max_requests"):
            if (most := getattr(upstream, name)) is not None:
                yield f"{name:<10} {most} at each endpoint of {upstream.name}"
        if upstream.slow_start is not None:
            window = format_duration(upstream.slow_start)
            yield f"slow_start {window}: pods of {upstream.name} that become ready get fewer calls at first"
        for name, word in (("outlier_detection", "ejected"), ("health_check", "checked")):
            if (value := getattr(upstream, name)) is not None:
                yield f"{word:<10} endpoints of {upstream.name}: {UPSTREAM.keys[name].brief(value)}"


def _discovery(upstream: Upstream, name: str) -> Iterator[str]:
    service = upstream.service
    if service is not None:
        yield f"discovery  kubernetes: {service.namespace}/{service.name}, port {service.port}{name}"


def _pod_host(edits: RouteEdits, route: Route) -> str:
    value = edits.edits.host
    if value is not None and value.names & route.later_captures:
        return value.render(edits.facts)  # it is known, and checked, when hooks and authorizer have answered
    return edits.host()


def _question(rule: Authorize[Upstream]) -> str:
    gives = "".join(f", {{{name}}} from {header}" for name, header in rule.captures)
    where = f"{rule.upstream.name}, {rule.upstream.text}"
    return f"authorize  GET {rule.path} of {where}{gives} (on failure: {rule.on_failure})"


def _asked(match: Match) -> Match:
    """The match as hooks and the authorizer make it, with the names of their captures in place of the values."""
    later = match.route.later_captures
    return Match(match.route, {**match.captures, **{name: f"{{{name}}}" for name in later}}) if later else match


def _host(match: Match, upstream: Upstream) -> str:
    later = match.route.later_captures
    if not upstream.host.captures & later:
        return render_host(upstream.host, match.captures)
    render_host(upstream.host, {**match.captures, **dict.fromkeys(later, "x")})
    return upstream.host.render(match.captures)
