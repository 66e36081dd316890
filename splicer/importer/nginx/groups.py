"""`upstream` blocks: several servers become fixed addresses of one name, or upstreams with weights."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from splicer.config.addresses import is_ip, split_port
from splicer.config.scalars import BadValue
from splicer.importer.directive import Directive
from splicer.importer.draft import Named, RouteDraft
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.source import Statement
from splicer.importer.times import duration, seconds_of
from splicer.importer.upstreams import is_short, new_upstream, upstream_at
from splicer.model import authority

_MACHINERY = {
    "keepalive": "connections to pods are kept anyway",
    "keepalive_timeout": "connections to pods are kept anyway",
    "keepalive_requests": "connections to pods are kept anyway",
    "keepalive_time": "connections to pods are kept anyway",
    "zone": "workers need no shared memory for it",
}
_MOST = "calls and plain requests are counted apart: max_tunnels and max_requests, over all workers"
_FAILED = "so many failures in a row, not within the time, and a success ends the pause"
_NEVER = "an address that has failed is still tried last for 10 s"


@frozen
class Server:
    """A `server` of an `upstream` block."""

    statement: Statement
    host: str
    port: int
    weight: int = 1
    backup: bool = False
    most: int = 0
    fails: int = 0
    pause: float = 10.0


def lead_to_group(context: Context, route: RouteDraft, group: Statement, source: Directive) -> None:
    """Have a route lead to the servers of an `upstream` block.

    Args:
        context: gets the upstreams.
        route: gets `upstream`, and `fallback` for backups.
        group: the block.
        source: the `proxy_pass`.
    """
    servers = list(filter(None, (_server(context, each) for each in group.block or () if each.name == "server")))
    context.ledger.mark(group, Verdict.CARRIED)
    context.ledger.carried(group, f"upstreams.{group.first}")
    main, backups = [each for each in servers if not each.backup], [each for each in servers if each.backup]
    if not main:
        route.closed.append(f"upstream {group.first} has no server that could be imported")
        return
    hash_on, balance = _choice(context, group, len(main) > 1)
    if len(main) == 1 or (hash_on is None and _is_one_name(main)):
        _one_name(context, route, group, main, source, balance)
    else:
        for server in main:
            upstream = upstream_at(
                context.draft, f"{group.first}-{server.host}", server.host, server.port, server.statement
            )
            _limit(upstream, [server])
            route.put(("upstream", upstream.name), server.weight, source, server.statement)
        if hash_on is not None:
            route.put("hash_on", hash_on[0], hash_on[1])
    if len(main) > 1 and route.get("upstream") is not None:
        route.put("retries", min(len(main) - 1, 5), source)
        route.put("fallback_on", [], source)
    if backups:
        _backup(context, route, group, backups, source)


def _is_one_name(servers: Sequence[Server]) -> bool:
    same_port = len({server.port for server in servers}) == 1
    return same_port and all(is_ip(server.host) and server.weight == 1 for server in servers)


def _one_name(
    context: Context, route: RouteDraft, group: Statement, servers: Sequence[Server], source: Directive, balance: str
) -> None:
    statements = [server.statement for server in servers]
    if len(servers) == 1:
        host = servers[0].host
    else:
        host = f"{group.first.replace('_', '-').lower()}.upstream"
        context.draft.sections["resolver"].put(("hosts", host), [server.host for server in servers], *statements)
    known = next((each for each in context.draft.upstreams.values() if each.origin == group.place), None)
    upstream = known or new_upstream(context.draft, group.first, authority(host, servers[0].port), *statements)
    upstream.origin = group.place
    if balance and known is None:
        upstream.put("balance", balance, *[each for each in group.block or () if each.name in ("least_conn", "random")])
    _limit(upstream, servers)
    route.put("upstream", upstream.name, source)


def _limit(upstream: Named, servers: Sequence[Server]) -> None:
    """The limits of one endpoint: the least of those that are given."""
    watched = [server for server in servers if server.fails]
    if watched:
        sources = [server.statement for server in watched]
        upstream.put(("outlier_detection", "consecutive_errors"), min(server.fails for server in watched), *sources)
        upstream.put(
            ("outlier_detection", "base_ejection_time"), duration(max(server.pause for server in watched)), *sources
        )
        upstream.put(("outlier_detection", "statuses"), [])
    limits = [server for server in servers if server.most]
    for key in ("max_tunnels", "max_requests"):
        if limits:
            upstream.put(key, min(server.most for server in limits), *[server.statement for server in limits])


def _backup(
    context: Context, route: RouteDraft, group: Statement, backups: Sequence[Server], source: Directive
) -> None:
    for server in backups[1:]:
        context.ledger.lost(server.statement, "a route has one fallback; give the backups one name in DNS")
    first = backups[0]
    if route.get("fallback") is not None:
        context.ledger.lost(first.statement, "its route has a fallback already, from error_page")
        return
    upstream = upstream_at(context.draft, f"{group.first}-backup", first.host, first.port, first.statement)
    route.put("fallback", upstream.name, first.statement, source)
    route.put("fallback_on", [], source)


def _choice(context: Context, group: Statement, several: bool) -> tuple[tuple[str, Statement] | None, str]:
    """What chooses among the servers: `hash_on` with its directive, or `balance`."""
    hash_on: tuple[str, Statement] | None = None
    balance = "round-robin" if several else ""
    for each in group.block or ():
        match each.name, each.args:
            case "server", _:
                pass
            case "ip_hash", _:
                hash_on = ("client", each)
                context.ledger.differs(each, "the whole address counts, not its first three bytes; IPv6: the /64")
            case "hash", (key, *_) if (where := _hash_key(key)) is not None:
                hash_on = (where, each)
                context.ledger.differs(each, "other values lead to other servers than nginx's hash does")
            case "least_conn", _:
                balance = "least-tunnels"
                context.ledger.differs(each, "open calls are counted, not requests")
            case "random", _:
                balance = "random"
            case name, _ if name in _MACHINERY:
                context.ledger.mark(each, Verdict.NO_NEED, _MACHINERY[name])
            case _:
                context.ledger.lost(each, "there is no counterpart; balance has least-tunnels, round-robin and random")
    return (hash_on if several else None), balance


def _hash_key(key: str) -> str | None:
    match key.strip("$"):
        case "remote_addr" | "binary_remote_addr":
            return "client"
        case word if word.startswith("http_"):
            return f"header:{word.removeprefix('http_').replace('_', '-')}"
        case word if word.startswith("arg_"):
            return f"query:{word.removeprefix('arg_')}"
        case word if word.startswith("cookie_"):
            return f"cookie:{word.removeprefix('cookie_')}"
    return None


def _server(context: Context, statement: Statement) -> Server | None:
    address, *options = statement.args
    if "down" in options:
        context.ledger.mark(statement, Verdict.NO_NEED, "it is marked as down")
        return None
    try:
        host, port = host_and_port(address)
    except ValueError as error:
        context.ledger.lost(statement, str(error))
        return None
    weight, most, fails, pause = 1, 0, 0, 10.0
    for option in options:
        name, _, value = option.partition("=")
        if name == "weight" and value.isdecimal():
            weight = int(value)
        elif name == "max_fails" and value.isdecimal():
            fails = int(value)
            context.ledger.differs(statement, f"{option}: {_FAILED if fails else _NEVER}")
        elif name == "fail_timeout" and (seconds := seconds_of(value)):
            pause = seconds
            context.ledger.differs(statement, f"{option}: {_FAILED}")
        elif name == "max_conns" and value.isdecimal() and int(value):
            most = int(value)
            context.ledger.differs(statement, f"{option}: {_MOST}")
        elif name not in ("backup", "resolve"):
            context.ledger.lost(statement, f"{option}: there is no counterpart")
    return Server(statement, qualified(context, host, statement), port, weight, "backup" in options, most, fails, pause)


def host_and_port(address: str, default: int = 80) -> tuple[str, int]:
    """Host and port of an address.

    Raises:
        ValueError: it is none that splicer can dial.
    """
    if address.startswith("unix:"):
        raise ValueError("a pod is reached by TCP alone; have it listen on a port")
    try:
        host, port = split_port(address)
    except BadValue as error:
        raise ValueError(str(error)) from None
    if port is not None and not port.isdecimal():
        raise ValueError(f"{address!r} has no port that is a number")
    return host, default if port is None else int(port)


def qualified(context: Context, host: str, source: Directive) -> str:
    """A host with the domain that the names without one get; without such a domain the difference is told."""
    if host == "localhost":
        return "127.0.0.1"
    if not is_short(host):
        return host
    if context.domain:
        return f"{host}.{context.domain}"
    context.ledger.differs(
        source, f"splicer has no search list: write the whole name of {host}, or import with --domain"
    )
    return host
