"""nginx.conf as a draft of routing.toml."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from splicer.config.values import format_duration
from splicer.importer.draft import Draft, RouteDraft, free_name
from splicer.importer.ledger import Ledger, Verdict
from splicer.importer.nginx import proxy_tls
from splicer.importer.nginx.answers import answer
from splicer.importer.nginx.conditions import conditional_routes
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.deadlines import CONNECT, READ
from splicer.importer.nginx.limits import zones
from splicer.importer.nginx.patterns import Location, in_order, location_of, overtaken, pattern_of
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.rewrites import mark_unreached, rewrites
from splicer.importer.nginx.routes import Server, location_routes, missing_route, new_route
from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.sections import sections
from splicer.importer.nginx.servers import chosen_servers, default_of, hosts_of, listens_of
from splicer.importer.nginx.source import Statement, parse_files, walk
from splicer.importer.nginx.tables import mark_simple
from splicer.importer.nginx.tls import tls
from splicer.importer.tls import only_by_https

_REDIRECT_TO_SLASH = (
    "Where a location with proxy_pass ends in a slash, nginx answers its path without the slash with 301; splicer has "
    "no such rule: write a redirect for it if somebody needs that."
)
_FORWARDED = (
    "Every pod gets X-Forwarded-For, -Proto and -Host, X-Real-IP, X-Request-ID and Via, also where nginx sets none of "
    "them."
)
_OVERTAKEN = "it lies below a ^~ prefix: nginx would try the regexes before it, splicer doesn't"
_NESTED = "a regex inside of another location: write the whole expression as a location of its own"
_CONSUMED = frozenset(
    {
        "proxy_set_header", "proxy_connect_timeout", "proxy_read_timeout", "proxy_intercept_errors", "error_page",
        "add_header", "default_type", "client_max_body_size", "access_log", "set", "proxy_hide_header", "allow", "deny",
        "auth_request", "auth_request_set", "limit_req", "limit_conn", "client_body_timeout", "proxy_next_upstream",
        "server_name", "listen", "resolver_timeout", "keepalive_timeout", "client_header_timeout",
    }
)  # fmt: skip


def translate(
    files: Sequence[str], ledger: Ledger, environ: Mapping[str, str], *, domain: str, port: int | None
) -> Draft:
    """Translate some files.

    Args:
        files: nginx.conf, or files of conf.d; several are read as one.
        ledger: gets every directive.
        environ: the values for ``${NAME}``.
        domain: added to names without a dot; "": they are kept.
        port: the port whose servers are meant; None: that with most locations.

    Raises:
        ImportFault: a file can't be read, or nginx would refuse it.
    """
    statements = parse_files(files, environ)
    every = list(walk(statements))
    for statement in every:
        ledger.expect(statement)
    mark_simple(ledger, iter(every))
    draft = Draft(f"Made by splicer import nginx {' '.join(files)}")
    context = Context(draft, ledger, domain)
    top = Scope([*(each for each in statements if each.name != "http"), *_inside(statements, "http")])
    _gather(context, top)
    servers = top.own("server")
    if not servers and top.own("location"):
        servers = [Statement(files[0], 1, "server", "server", (), [*statements])]
        top = Scope([])
    chosen, senders = chosen_servers(context, servers, port)
    _tls(context, top, chosen, every)
    _servers(context, top, chosen)
    for sender in senders:
        _to_https(context, top, sender, chosen)
    sections(context, top, [Scope(server.block or (), top) for server in chosen])
    ledger.hold(draft.all_sources())
    proxy_tls.rest(context, every)
    _unused(ledger, every)
    _rest(ledger, every)
    if draft.upstreams and any(route.get("deadlines", "connect") is None for route in draft.routes):
        draft.sections["deadlines"].put("connect", format_duration(CONNECT))
        draft.sections["deadlines"].put("handshake", format_duration(READ))
        draft.sections["deadlines"].put("attempts", format_duration(CONNECT + READ))
    ledger.notice(_REDIRECT_TO_SLASH)
    ledger.notice(_FORWARDED)
    return draft


def _tls(context: Context, top: Scope, servers: Sequence[Statement], every: Sequence[Statement]) -> None:
    secure = [each for each in servers if any(listen.secure for listen in listens_of(context, each))]
    if secure:
        default = default_of(context, secure)
        secure.sort(key=lambda each: each is not default)
    tls(context, [Scope(each.block or (), top) for each in secure], every)


def _to_https(context: Context, top: Scope, sender: Statement, servers: Sequence[Statement]) -> None:
    """A server that does nothing but send clients to https, as the first route for those who come by http."""
    names = [
        name for each in (sender, *servers) for name in hosts_of(context, each) if each is sender or not names_(sender)
    ]
    scope = Scope(sender.block or (), top)
    [statement] = scope.own("return")
    if not names:
        context.ledger.lost(statement, "name the hosts: no other Host may choose where a redirect leads")
        return
    server = Server(sender, scope, list(dict.fromkeys(names)), names, "", {}, {})
    route = new_route(context, server, "to-https", sender)
    place = Place(statement, scope, route)
    place.known |= {"server_name": list(names[:1])}
    answer(context, place, statement)
    only_by_https(context.draft, route, free_name("plain-http", context.names))


def names_(server: Statement) -> list[str]:
    """The words of a server's names, but for those that are none."""
    return [
        name for each in server.block or () if each.name == "server_name" for name in each.args if name not in ("_", "")
    ]


def _inside(statements: Sequence[Statement], name: str) -> Iterator[Statement]:
    for statement in statements:
        if statement.name == name:
            yield from statement.block or ()


def _gather(context: Context, top: Scope) -> None:
    for group in top.own("upstream"):
        context.groups[group.first] = group
    for zone in top.own("limit_req_zone", "limit_conn_zone"):
        zones(context, zone)
    for table in top.own("map"):
        variable = table.args[-1].removeprefix("$")
        if table.first == "$http_upgrade":
            context.connection_maps.add(variable)
            for each in (table, *(table.block or ())):
                context.ledger.mark(each, Verdict.DEFAULT, "splicer writes Connection: upgrade for upgrades alone")
        else:
            context.maps.add(variable)
            for each in (table, *(table.block or ())):
                context.ledger.lost(each, "write a route for each value, with conditions (headers, query, hosts)")


def _servers(context: Context, top: Scope, servers: Sequence[Statement]) -> None:
    if not servers:
        return
    default = default_of(context, servers)
    named = [(server, hosts_of(context, server)) for server in servers]
    for server, hosts in named:
        if server is not default and not hosts:
            mark_unreached(
                context, server.block or [], "no request gets here: the server has no name, and is not the default"
            )
    named = [(server, hosts) for server, hosts in named if hosts or server is default]
    named.sort(key=lambda each: (each[0] is default, any("*" in host for host in each[1])))
    for server, hosts in named:
        first = hosts[0].removeprefix("*.").partition(".")[0] if hosts else "default"
        label = "" if len(named) == 1 else f"{first}-"
        context.draft.routes += _server(context, top, server, [] if server is default else hosts, hosts, label)


def _server(
    context: Context, top: Scope, statement: Statement, hosts: Sequence[str], names: Sequence[str], label: str
) -> list[RouteDraft]:
    scope = Scope(statement.block or (), top)
    locations = list(_flat(context, scope, scope.own("location")))
    server = Server(
        statement,
        scope,
        hosts,
        [name for name in names if "*" not in name],
        label,
        {each.text: each.statement for each in locations if each.text.startswith("@")},
        {each.text: each.statement for each in locations if not each.is_regex},
    )
    routes = _before(context, server)
    if scope.own("return"):
        mark_unreached(context, [each.statement for each in locations], "the server's return answers before it")
        return routes
    served = [each for each in locations if not each.text.startswith("@")]
    pages = {page.args[-1] for page in walk(scope.statements) if page.name == "error_page" and page.args}
    served = [each for each in served if not _is_error_page(pages, each)]
    for each in overtaken(served):
        context.ledger.differs(each.statement, _OVERTAKEN)
    for each in in_order(served):
        made = location_routes(context, server, each)
        conditional = conditional_routes(context, server, each.scope, pattern_of(each)[:2], made[-1])
        routes += [*conditional, *made]
    missing = missing_route(context, server)
    return [*routes, missing] if missing is not None else routes


def _is_error_page(pages: Collection[str], location: Location) -> bool:
    """Whether a location is there for `error_page` alone, and is carried with it."""
    return location.text in pages and location.modifier == "=" and not location.scope.own("proxy_pass")


def _flat(context: Context, scope: Scope, statements: Sequence[Statement]) -> Iterator[Location]:
    """The locations of a server, nested ones included: those of a prefix lie below it."""
    for statement in statements:
        location = location_of(statement, scope)
        yield location
        for inner in _flat(context, location.scope, location.scope.own("location")):
            if inner.is_regex:
                for each in walk([inner.statement]):
                    context.ledger.lost(each, _NESTED)
                context.unsafe[id(statement)] = f"{inner.statement.text} inside of it could not be imported"
            else:
                yield inner


def _before(context: Context, server: Server) -> list[RouteDraft]:
    """What a server does before it looks for a location: `if`, `rewrite`, `return`."""
    whole = RouteDraft()
    routes = conditional_routes(context, server, server.scope, ("prefix", "/"), whole)
    context.unsafe.update(
        dict.fromkeys(map(id, server.scope.statements), "; ".join(whole.closed)) if whole.closed else {}
    )
    for statement in [*server.scope.own("rewrite"), *server.scope.own("return")]:
        route = new_route(context, server, "all" if statement.name == "return" else "rewrite", statement)
        route.put("prefix", "/", *(server.scope.own("server_name") if statement.name == "return" else []))
        place = Place(statement, Scope([statement], server.scope), route)
        place.known |= {"server_name": list(server.names[:1]), "server_names": list(server.names)}
        if statement.name == "return":
            answer(context, place, statement)
            routes.append(route)
        elif statement.args[-1] in ("redirect", "permanent"):
            routes += rewrites(context, place)
        else:
            context.ledger.lost(statement, "write a route with this regex and rewrite above the others")
    return routes


def _unused(ledger: Ledger, statements: Sequence[Statement]) -> None:
    """Named and internal locations that no directive leads to."""
    for statement in statements:
        inner = [each.name for each in statement.block or ()]
        hidden = statement.first.startswith("@") and not ledger.is_marked(statement)
        if statement.name == "location" and (hidden or "internal" in inner):
            for each in walk([statement]):
                if not ledger.is_marked(each):
                    ledger.mark(each, Verdict.NO_NEED, "no imported route leads there")


def _rest(ledger: Ledger, statements: Sequence[Statement]) -> None:
    """Directives that routes would use, where no route does; the rest is unknown."""
    for statement in statements:
        if not ledger.is_marked(statement) and statement.name in _CONSUMED:
            ledger.mark(statement, Verdict.NO_NEED, "no imported route uses it")
