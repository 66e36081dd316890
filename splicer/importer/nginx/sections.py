"""What holds for the whole edge: `resolver`, trusted proxies, and the timeouts of clients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from splicer.config.addresses import is_ip, split_port
from splicer.importer.draft import Table
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.source import Statement, walk
from splicer.importer.times import duration, seconds_of

_CLIENTS = {"client_header_timeout": "head", "keepalive_timeout": "keepalive", "resolver_timeout": "resolve"}
_ONE = "splicer has one value for the whole edge: {value} is in force"


def sections(context: Context, top: Scope, servers: Sequence[Scope]) -> None:
    """Fill in the sections of a draft.

    Args:
        context: gets them.
        top: what stands around the servers.
        servers: the carried ones.
    """
    scopes = [top, *servers]
    _resolver(context, list(_everywhere(scopes, "resolver")))
    for name, key in _CLIENTS.items():
        found = list(_everywhere(scopes, name))
        for statement in found[:1]:
            if (seconds := seconds_of(statement.first)) is not None:
                context.draft.sections["deadlines"].put(key, duration(seconds), statement)
        for statement in found[1:]:
            told = Verdict.DEFAULT if statement.args == found[0].args else Verdict.DIFFERS
            context.ledger.mark(statement, told, _ONE.format(value=found[0].first))
    headers = list(_everywhere(scopes, "real_ip_header"))
    by_proxy = [header for header in headers if header.first == "proxy_protocol"]
    _trusted(context, list(_everywhere(scopes, "set_real_ip_from")), bool(by_proxy))
    for header in by_proxy:
        context.ledger.mark(header, Verdict.DEFAULT, "the address in a PROXY header is the client's for everything")
    for header in headers:
        if header.first.lower() not in ("x-forwarded-for", "x_forwarded_for", "proxy_protocol"):
            context.ledger.lost(header, "trusted_proxies are believed in X-Forwarded-For; have them send that")


def _believed(section: Table, networks: list[str], sources: Sequence[Statement]) -> None:
    """Those whose PROXY headers are believed must send one, and nobody else may."""
    listen = section.get("listen")
    entries = listen if isinstance(listen, list) else [listen]
    entries = [{**entry, "proxy_protocol": networks} if isinstance(entry, dict) else entry for entry in entries]
    before = section.sources.get(("listen",), ())
    section.put("listen", entries if isinstance(listen, list) else entries[0], *before, *sources)


def _everywhere(scopes: Sequence[Scope], name: str) -> Iterator[Statement]:
    seen: set[int] = set()
    for scope in scopes:
        for statement in walk(scope.statements):
            if statement.name == name and id(statement) not in seen:
                seen.add(id(statement))
                yield statement


def _resolver(context: Context, found: Sequence[Statement]) -> None:
    section = context.draft.sections["resolver"]
    for statement in found[:1]:
        servers = [arg for arg in statement.args if "=" not in arg]
        odd = [server for server in servers if not is_ip(split_port(server)[0])]
        if odd:
            context.ledger.lost(statement, f"a name server is given by its address, not {', '.join(odd)}")
        kept = [server for server in servers if server not in odd]
        if kept:
            section.put("nameservers", [server.removesuffix(":53") for server in kept], statement)
        for option in (arg for arg in statement.args if "=" in arg):
            _option(context, statement, option)
    for statement in found[1:]:
        if statement.args == found[0].args:
            context.ledger.mark(statement, Verdict.DEFAULT, "it is that of the whole edge")
        else:
            context.ledger.lost(statement, "splicer has one [resolver]; the first one of the file is in force")


def _option(context: Context, statement: Statement, option: str) -> None:
    section = context.draft.sections["resolver"]
    name, _, value = option.partition("=")
    seconds = seconds_of(value)
    if name == "valid" and seconds is not None:
        section.put("max_ttl", duration(seconds), statement)
    elif option == "ipv6=off":
        section.put("ipv6", False, statement)
    elif name != "status_zone" and option not in ("ipv6=on", "ipv4=on"):
        context.ledger.lost(statement, f"{option}: there is no counterpart")


def _trusted(context: Context, found: Sequence[Statement], by_proxy: bool) -> None:
    networks = []
    for statement in found:
        try:
            networks.append(str(ip_network(statement.first, strict=False)))
        except ValueError:
            context.ledger.lost(statement, "server.trusted_proxies has networks and addresses alone")
    section = context.draft.sections["server"]
    if networks and by_proxy:
        _believed(section, list(dict.fromkeys(networks)), found)
    elif networks:
        section.put("trusted_proxies", list(dict.fromkeys(networks)), *found)
