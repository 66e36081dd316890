"""Which servers are carried, on which addresses, for which hosts."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from attrs import frozen

from splicer.importer.directive import ImportFault
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.groups import host_and_port
from splicer.importer.nginx.source import Statement, walk
from splicer.importer.tls import PROFILE, TO_HTTPS, entry

_OTHER_PORT = (
    "splicer's routes hold on all of its addresses: run a second splicer for this port; import it with --port {port}"
)
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_LISTEN_OPTIONS = frozenset(
    {"ssl", "proxy_protocol", "default_server", "reuseport", "deferred", "bind", "default", "fastopen"}
)


@frozen
class Listen:
    """A `listen` taken apart."""

    statement: Statement
    address: str
    port: int
    default: bool
    secure: bool
    proxied: bool = False


def listens_of(context: Context, server: Statement) -> list[Listen]:
    """The addresses of a server; without a `listen` it is port 80."""
    found = []
    for statement in server.block or ():
        if statement.name == "listen":
            address, *options = statement.args
            try:
                host, port = ("*", int(address)) if address.isdecimal() else host_and_port(address)
            except ValueError:
                context.ledger.lost(statement, "splicer listens on TCP ports alone")
                continue
            text = {"*": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host)  # noqa: S104 - as nginx does
            shown = f"[{text.strip('[]')}]:{port}" if ":" in text else f"{text}:{port}"
            default = bool({"default_server", "default"} & set(options))
            found.append(
                Listen(
                    statement, shown, port, default, "ssl" in options or "quic" in options, "proxy_protocol" in options
                )
            )
    return found or [Listen(server, "0.0.0.0:80", 80, default=False, secure=False)]


def chosen_servers(
    context: Context, servers: Sequence[Statement], port: int | None
) -> tuple[list[Statement], list[Statement]]:
    """The servers of one port: the wanted one, or that with most locations. The others are lost, and say so.

    Returns:
        These servers; and those of other ports that do nothing but send clients to them, by https.

    Raises:
        ImportFault: no server has the wanted port.
    """
    ports: dict[int, list[Statement]] = {}
    for server in servers:
        for listen in listens_of(context, server):
            here = ports.setdefault(listen.port, [])
            if server not in here:
                here.append(server)
    if not ports:
        return [], []
    if port is not None and port not in ports:
        raise ImportFault(
            servers[0].file, servers[0].line, f"no server listens on port {port}; there are {sorted(ports)}"
        )
    chosen = port if port is not None else max(ports, key=lambda each: _locations(ports[each]))
    secure = any(listen.secure for server in ports[chosen] for listen in listens_of(context, server))
    senders = [server for server in servers if secure and server not in ports[chosen] and _is_to_https(server)]
    for server in servers:
        if server not in ports[chosen] and server not in senders:
            other = listens_of(context, server)[0].port
            why = TO_HTTPS if _is_to_https(server) else _OTHER_PORT.format(port=other)
            for each in walk([server]):
                context.ledger.lost(each, why)
    also = set.intersection(*({listen.port for listen in listens_of(context, each)} for each in ports[chosen]))
    _listen(context, [*ports[chosen], *senders], also | {port_ for each in senders for port_ in _ports(context, each)})
    return ports[chosen], senders


def _ports(context: Context, server: Statement) -> set[int]:
    return {listen.port for listen in listens_of(context, server)}


def _is_to_https(server: Statement) -> bool:
    """Whether a server does nothing but send clients to https."""
    content = [each for each in server.block or () if each.name not in ("listen", "server_name", "access_log")]
    return len(content) == 1 and content[0].name == "return" and content[0].args[-1].startswith("https://")


def _locations(servers: Sequence[Statement]) -> tuple[int, int]:
    """How many locations there are: first those that lead to a pod."""
    locations = [each for server in servers for each in server.block or () if each.name == "location"]
    return sum(any(inner.name == "proxy_pass" for inner in each.block or ()) for each in locations), len(locations)


def _listen(context: Context, servers: Sequence[Statement], ports: set[int]) -> None:
    addresses: dict[str, list[Listen]] = {}
    for server in servers:
        for listen in listens_of(context, server):
            if listen.port not in ports:
                context.ledger.lost(listen.statement, _OTHER_PORT.format(port=listen.port))
                continue
            addresses.setdefault(listen.address, []).append(listen)
            _options(context, listen)
    kept = [address for address in addresses if not _is_within(address, addresses)]
    entries = [_entry(address, addresses[address]) for address in kept]
    sources = [
        listen.statement for those in addresses.values() for listen in those if listen.statement.name == "listen"
    ]
    context.draft.sections["server"].put("listen", entries[0] if len(entries) == 1 else entries, *sources)


def _is_within(address: str, others: Collection[str]) -> bool:
    """Whether another entry has the address: that of all addresses of this machine."""
    wild = f"0.0.0.0:{address.rpartition(':')[2]}"
    return address != wild and wild in others and not address.startswith("[")


def _entry(address: str, listens: Sequence[Listen]) -> str | dict[str, Any]:
    proxied = "required" if any(listen.proxied for listen in listens) else None
    secure = PROFILE if any(listen.secure for listen in listens) else None
    return entry(address, proxy_protocol=proxied, tls=secure)


def _options(context: Context, listen: Listen) -> None:
    for option in listen.statement.args[1:]:
        if option == "quic":
            context.ledger.lost(listen.statement, "clients are spoken to in HTTP/1.1, over TCP")
        elif option in ("http2", "spdy"):
            context.ledger.differs(listen.statement, "clients are spoken to in HTTP/1.1")
        elif option.partition("=")[0] not in {
            *_LISTEN_OPTIONS,
            "backlog",
            "rcvbuf",
            "sndbuf",
            "ipv6only",
            "so_keepalive",
        }:
            context.ledger.lost(listen.statement, f"{option}: there is no counterpart")


def hosts_of(context: Context, server: Statement) -> list[str]:
    """The names of a server that a route's `hosts` can have."""
    hosts = []
    for statement in (each for each in server.block or () if each.name == "server_name"):
        for name in statement.args:
            if name in ("_", ""):
                context.ledger.mark(statement, Verdict.NO_NEED, "it is no host's name")
            elif name.startswith(".") and _HOST.fullmatch(name[1:]):
                hosts += [name[1:], f"*{name}"]
            elif _HOST.fullmatch(name):
                hosts.append(name)
            else:
                context.ledger.lost(statement, f"{name}: write hosts, with *.suffix for all names below one")
    return [host.lower() for host in hosts]


def default_of(context: Context, servers: Sequence[Statement]) -> Statement:
    """The server for a Host that no server names."""
    return next((each for each in servers if any(listen.default for listen in listens_of(context, each))), servers[0])
