"""One question to the name servers, and which of them to ask."""

from __future__ import annotations

import math
from collections.abc import Sequence

import dns.exception
import dns.inet
import dns.name
import dns.rcode
import dns.resolver
import trio
from attrs import frozen
from dns.rdatatype import RdataType

from splicer.errors import ResolveFailed, ResolveTimeout
from splicer.model import authority
from splicer.net.dns_exchange import over_tcp, over_udp
from splicer.net.dns_wire import Response, make_query

_Server = tuple[str, int]

RESOLV_CONF = "/etc/resolv.conf"

_TRIES = 2  # per server that is silent, for UDP may lose one packet, or fails (SERVFAIL), for that passes
_TIMEOUT = 2.0  # seconds for one try, however long the whole lookup may take
_LAST_AFTER_SILENCE = 30.0  # seconds for which a server that was silent is asked after the others
_MARGIN = 0.95  # of the lifetime: all tries end, and say which server did what, before the lookup itself is over
_PAYLOAD = 1232  # bytes of UDP that no path fragments; a headless service of many pods fits without TCP (RFC 6891)
_SOCKETS = 1024  # questions at once, for descriptors are for calls; unknown names take three quarters (net.resolve)
_ALIASES = 8  # questions that a chain of aliases may cost
_NO_EDNS = (dns.rcode.FORMERR, dns.rcode.NOTIMP)  # what a server says that doesn't know it (RFC 6891 §7)


@frozen
class Records:
    """What the name servers say of a name.

    Args:
        addresses: numeric, in the order served; empty: there are none.
        ttl: seconds for which to believe it: the least along the chain of CNAMEs, or for "none" what the zone's
            SOA says (RFC 2308 §5).
        exists: False when there is no such name (NXDOMAIN).
    """

    addresses: tuple[str, ...]
    ttl: float
    exists: bool = True


@frozen
class _Said:
    """What one server says; with `alias` it is about another name, and there may be more to ask."""

    addresses: tuple[str, ...]
    ttl: float
    exists: bool = True
    alias: dns.name.Name | None = None


class _ServerFailed(ResolveFailed):
    """SERVFAIL: it may do better the next time."""


def system_nameservers() -> tuple[tuple[str, int], ...]:
    """The addresses and ports that resolv.conf(5) names; empty if it can't be used."""
    try:
        system = dns.resolver.Resolver(RESOLV_CONF)
    except (dns.exception.DNSException, ValueError, OSError):
        return ()
    # dnspython takes URLs (DNS over HTTPS) there too, which resolv.conf(5) doesn't know.
    return tuple((str(server), 53) for server in system.nameservers if dns.inet.is_address(str(server)))


class NameServers:
    """The name servers, in the order given (resolv.conf(5)), but those last that have been silent lately.

    Args:
        servers: numeric addresses and ports.
        lifetime: seconds that a question may take altogether; every server gets its share of it.
    """

    def __init__(self, servers: Sequence[_Server], lifetime: float) -> None:
        self._servers = tuple(servers)
        self._patience = min(_TIMEOUT, _MARGIN * lifetime / (_TRIES * max(1, len(servers))))
        self._sockets = trio.CapacityLimiter(_SOCKETS)
        self._silent_at: dict[_Server, float] = {}

    async def ask(self, name: str, kind: RdataType) -> Records:
        """Ask one server after the other until one gives a usable answer, and about each alias that comes alone.

        Args:
            name: absolute, with or without the last dot.
            kind: A or AAAA.

        Raises:
            ResolveTimeout: they were all silent.
            ResolveFailed: none did, and the message has each server's fault; or the aliases have no end.
        """
        try:
            question = dns.name.from_text(name)
        except dns.exception.DNSException:
            return Records((), 0.0, exists=False)  # a label over 63 bytes, a name over 255: nobody can own it
        if not self._servers:
            raise ResolveFailed(f"no name server: [resolver] nameservers is empty and {RESOLV_CONF} names none")
        ttl = math.inf
        for _ in range(_ALIASES):
            said = await self._ask(question, kind)
            ttl = min(ttl, said.ttl)
            if said.alias is None:
                return Records(said.addresses, ttl, said.exists)
            question = said.alias
        raise ResolveFailed(f"{name} {kind.name}: no end of aliases after {_ALIASES} questions")

    async def _ask(self, question: dns.name.Name, kind: RdataType) -> _Said:
        """Two rounds: who is silent or fails in the first is asked once more, who declines or talks nonsense is not.

        The second goes without EDNS, which some servers, and firewalls before them, take for a fault of some kind.
        """
        faults: list[str] = []
        failure: type[ResolveFailed] = ResolveTimeout
        left = self._in_order()
        for edns in (True, False):
            for server in tuple(left):
                try:
                    return await self._exchange(server, question, kind, edns=edns)
                except trio.TooSlowError:
                    self._silent_at[server] = trio.current_time()
                    faults.append(f"{authority(*server)} is silent")
                except Exception as error:  # noqa: BLE001  # whatever a server provokes, the next one may do better
                    failure = ResolveFailed
                    faults.append(f"{authority(*server)}: {error}")
                    if not isinstance(error, _ServerFailed):
                        left.remove(server)
        name = question.to_text(omit_final_dot=True)
        raise failure(f"{name} {kind.name}: {', '.join(dict.fromkeys(faults))}")

    def _in_order(self) -> list[_Server]:
        since = trio.current_time() - _LAST_AFTER_SILENCE
        return sorted(self._servers, key=lambda server: self._silent_at.get(server, -math.inf) > since)

    async def _exchange(self, server: _Server, question: dns.name.Name, kind: RdataType, *, edns: bool) -> _Said:
        async with self._sockets:
            with trio.fail_after(self._patience):
                response = await self._send(server, question, kind, edns=edns)
                if edns and response.rcode in _NO_EDNS:
                    response = await self._send(server, question, kind, edns=False)
        return _read(response)

    async def _send(self, server: _Server, question: dns.name.Name, kind: RdataType, *, edns: bool) -> Response:
        """UDP, and TCP when the answer is truncated (RFC 7766 §5); where TCP fails, a part of the addresses will do."""
        query = make_query(question, kind, _PAYLOAD if edns else None)
        part = await over_udp(server, query)
        if not part.truncated:
            return part
        try:
            with trio.fail_after(self._patience / 2):
                return await over_tcp(server, query)
        except Exception:
            if not _read(part).addresses:
                raise
            return part


def _read(response: Response) -> _Said:
    if response.rcode == dns.rcode.SERVFAIL:
        raise _ServerFailed("SERVFAIL")
    exists = response.rcode == dns.rcode.NOERROR
    if not exists and response.rcode != dns.rcode.NXDOMAIN:
        raise ResolveFailed(dns.rcode.to_text(response.rcode))
    if not exists or response.addresses:
        return _Said(response.addresses, response.ttl, exists)
    if response.alias is not None:
        return _Said((), response.alias_ttl, alias=response.alias)
    if response.referral:  # RFC 2308 §2.2
        raise ResolveFailed("it refers to other name servers, and we need one that asks them")
    return _Said((), response.ttl)
