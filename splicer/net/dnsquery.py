"""One question to the name servers, and which of them to ask."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import cast

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.inet
import dns.message
import dns.name
import dns.rcode
import dns.resolver
import trio
from attrs import frozen
from dns.rdatatype import RdataType

from splicer.errors import ResolveFailed, ResolveTimeout
from splicer.model import authority

RESOLV_CONF = "/etc/resolv.conf"

_TRIES = 2  # per silent server: UDP may lose one packet
_PATIENCE = 2.0  # seconds for one try, however long the whole lookup may take
_MARGIN = 0.95  # of the lifetime: all tries end, and say which server did what, before the lookup itself is over
_PAYLOAD = 1232  # bytes of UDP that no path fragments; a headless service of many pods fits without TCP (RFC 6891)
_SOCKETS = 256  # questions at once: names come from clients, and descriptors are for calls


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


def system_nameservers() -> tuple[tuple[str, int], ...]:
    """The addresses and ports that resolv.conf(5) names; empty if it can't be used."""
    try:
        system = dns.resolver.Resolver(RESOLV_CONF)
    except (dns.exception.DNSException, ValueError, OSError):
        return ()
    # dnspython takes URLs (DNS over HTTPS) there too, which resolv.conf(5) doesn't know.
    return tuple((str(server), 53) for server in system.nameservers if dns.inet.is_address(str(server)))


class NameServers:
    """The name servers, the one that answered last first.

    Args:
        servers: numeric addresses and ports.
        lifetime: seconds that a question may take altogether; every server gets its share of it.
    """

    def __init__(self, servers: Sequence[tuple[str, int]], lifetime: float) -> None:
        self._servers = list(servers)
        self._patience = min(_PATIENCE, _MARGIN * lifetime / (_TRIES * max(1, len(servers))))
        self._backend = dns.asyncbackend.get_backend("trio")
        self._sockets = trio.CapacityLimiter(_SOCKETS)

    async def ask(self, name: str, kind: RdataType) -> Records:
        """Ask one server after the other until one gives a usable answer.

        A server that says SERVFAIL, REFUSED or nonsense is not asked again, a silent one once more.

        Args:
            name: absolute, with or without the last dot.
            kind: A or AAAA.

        Raises:
            ResolveTimeout: they were all silent.
            ResolveFailed: none did; the message has each server's fault.
        """
        try:
            question = dns.name.from_text(name)
        except dns.exception.DNSException:
            return Records((), 0.0, exists=False)  # a label over 63 bytes, a name over 255: nobody can own it
        if not self._servers:
            raise ResolveFailed(f"no name server: [resolver] nameservers is empty and {RESOLV_CONF} names none")
        faults = []
        failure: type[ResolveFailed] = ResolveTimeout
        queue = deque(self._servers * _TRIES)
        while queue:
            server = queue.popleft()
            try:
                records = await self._exchange(server, question, kind)
            except trio.TooSlowError:
                faults.append(f"{authority(*server)} is silent")
            except Exception as error:  # noqa: BLE001  # whatever a server provokes, the next one may do better
                failure = ResolveFailed
                faults.append(f"{authority(*server)}: {error}")
                queue = deque(other for other in queue if other != server)
            else:
                self._prefer(server)
                return records
        raise failure(f"{name} {kind.name}: {', '.join(dict.fromkeys(faults))}")

    async def _exchange(self, server: tuple[str, int], question: dns.name.Name, kind: RdataType) -> Records:
        """UDP, and TCP when the answer is truncated (RFC 7766 §5)."""
        query = dns.message.make_query(question, kind, use_edns=0, payload=_PAYLOAD)
        async with self._sockets:
            with trio.fail_after(self._patience):
                response, _ = await dns.asyncquery.udp_with_fallback(
                    query,
                    server[0],
                    port=server[1],
                    ignore_unexpected=True,
                    ignore_errors=True,
                    backend=self._backend,
                )
        return _records(cast("dns.message.QueryMessage", response))  # it answers our query, so it is one

    def _prefer(self, server: tuple[str, int]) -> None:
        if self._servers[0] != server:
            self._servers.remove(server)
            self._servers.insert(0, server)


def _records(response: dns.message.QueryMessage) -> Records:
    rcode = response.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise ResolveFailed(dns.rcode.to_text(rcode))
    chain = response.resolve_chaining()
    addresses = tuple(record.to_text() for record in chain.answer or ())
    return Records(addresses, float(chain.minimum_ttl), exists=rcode == dns.rcode.NOERROR)
