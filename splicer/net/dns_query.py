"""One question to the name servers: the order in which they are asked, retries, and aliases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import trio
from attrs import frozen

from splicer.errors import ResolveFailed, ResolveTimeout
from splicer.model import authority
from splicer.net.dns_exchange import over_tcp, over_udp
from splicer.net.dns_names import Rcode, RdataType, rcode_text, to_text, to_wire
from splicer.net.dns_wire import Response, make_query

_Server = tuple[str, int]

RESOLV_CONF = "/etc/resolv.conf"

_TRIES = 2  # per server: UDP may lose one packet, and SERVFAIL is often temporary
_MAX_TRY_TIMEOUT = 2.0  # seconds for one try, however long the whole lookup may take
_DEMOTION_SECONDS = 30.0  # seconds for which a server that was silent is asked after the others
_MARGIN = 0.95  # of the lifetime: all tries end before the lookup does, so that its error names each server's fault
_PAYLOAD = 1232  # bytes of UDP that no path fragments; a headless service of many pods fits without TCP (RFC 6891)
_SOCKETS = 1024  # queries at once: calls need the descriptors; unknown names take three quarters (net.resolve)
_ALIASES = 8  # queries that one chain of aliases may take
_NO_EDNS = (Rcode.FORMERR, Rcode.NOTIMP)  # answers of a server that doesn't support EDNS (RFC 6891 §7)


@frozen
class Records:
    """The name servers' answer for a name.

    Args:
        addresses: numeric, in the order served; may be empty.
        ttl: seconds for which the answer is valid: the smallest TTL along the chain of CNAMEs; without addresses the
            negative TTL of the zone's SOA (RFC 2308 §5).
        exists: False when there is no such name (NXDOMAIN).
    """

    addresses: tuple[str, ...]
    ttl: float
    exists: bool = True


@frozen
class _Reply:
    """One server's answer; `alias` is set when the name is an alias and the alias's addresses must be asked for."""

    addresses: tuple[str, ...]
    ttl: float
    exists: bool = True
    alias: bytes | None = None


class _ServerFailed(ResolveFailed):
    """SERVFAIL: another try may succeed."""


def system_nameservers() -> tuple[tuple[str, int], ...]:
    """The addresses and ports that resolv.conf(5) names; empty if it can't be used."""
    try:
        lines = Path(RESOLV_CONF).read_text().splitlines()
    except (ValueError, OSError):
        return ()
    words = [line.split() for line in lines]
    return tuple((word[1], 53) for word in words if len(word) > 1 and word[0] == "nameserver" and _numeric(word[1]))


def _numeric(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


class NameServers:
    """The name servers, asked in the order given (resolv.conf(5)); those that were silent lately come last.

    Args:
        servers: numeric addresses and ports.
        lifetime: seconds that a question may take altogether; every server gets its share of it.
    """

    def __init__(self, servers: Sequence[_Server], lifetime: float) -> None:
        self._servers = tuple(servers)
        self._try_timeout = min(_MAX_TRY_TIMEOUT, _MARGIN * lifetime / (_TRIES * max(1, len(servers))))
        self._sockets = trio.CapacityLimiter(_SOCKETS)
        self._silent_at: dict[_Server, float] = {}

    async def ask(self, name: str, kind: RdataType) -> Records:
        """Ask one server after the other until one gives a usable answer; follow aliases that come without addresses.

        Args:
            name: absolute, with or without the last dot.
            kind: A or AAAA.

        Raises:
            ResolveTimeout: all servers were silent.
            ResolveFailed: no server gave a usable answer, and the message has each server's fault; or the chain of
                aliases is too long.
        """
        question = to_wire(name)
        if question is None:
            return Records((), 0.0, exists=False)  # a label over 63 bytes or a name over 255: no such name can exist
        if not self._servers:
            raise ResolveFailed(f"no name server: [resolver] nameservers is empty and {RESOLV_CONF} names none")
        ttl = math.inf
        for _ in range(_ALIASES):
            reply = await self._ask(question, kind)
            ttl = min(ttl, reply.ttl)
            if reply.alias is None:
                return Records(reply.addresses, ttl, reply.exists)
            question = reply.alias
        raise ResolveFailed(f"{name} {kind.name}: no end of aliases after {_ALIASES} questions")

    async def _ask(self, question: bytes, kind: RdataType) -> _Reply:
        """Ask in two rounds: after silence or SERVFAIL a server is asked again, after a refusal or garbage it is not.

        The second round is without EDNS: some servers, and firewalls in front of them, reject or drop EDNS queries.
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
                except Exception as error:  # noqa: BLE001  # whatever one server causes, the next one may answer
                    failure = ResolveFailed
                    faults.append(f"{authority(*server)}: {error}")
                    if not isinstance(error, _ServerFailed):
                        left.remove(server)
        name = to_text(question)
        raise failure(f"{name} {kind.name}: {', '.join(dict.fromkeys(faults))}")

    def _in_order(self) -> list[_Server]:
        since = trio.current_time() - _DEMOTION_SECONDS
        return sorted(self._servers, key=lambda server: self._silent_at.get(server, -math.inf) > since)

    async def _exchange(self, server: _Server, question: bytes, kind: RdataType, *, edns: bool) -> _Reply:
        async with self._sockets:
            with trio.fail_after(self._try_timeout):
                response = await self._send(server, question, kind, edns=edns)
                if edns and response.rcode in _NO_EDNS:
                    response = await self._send(server, question, kind, edns=False)
        return _read(response)

    async def _send(self, server: _Server, question: bytes, kind: RdataType, *, edns: bool) -> Response:
        """Ask over UDP, and over TCP if the answer is truncated (RFC 7766 §5); if TCP fails, use what UDP brought."""
        query = make_query(question, kind, _PAYLOAD if edns else None)
        part = await over_udp(server, query)
        if not part.truncated:
            return part
        try:
            with trio.fail_after(self._try_timeout / 2):
                return await over_tcp(server, query)
        except Exception:
            if not _read(part).addresses:
                raise
            return part


def _read(response: Response) -> _Reply:
    if response.rcode == Rcode.SERVFAIL:
        raise _ServerFailed("SERVFAIL")
    exists = response.rcode == Rcode.NOERROR
    if not exists and response.rcode != Rcode.NXDOMAIN:
        raise ResolveFailed(rcode_text(response.rcode))
    if not exists or response.addresses:
        return _Reply(response.addresses, response.ttl, exists)
    if response.alias is not None:
        return _Reply((), response.alias_ttl, alias=response.alias)
    if response.referral:  # RFC 2308 §2.2
        raise ResolveFailed("it refers to other name servers, and we need one that asks them")
    return _Reply((), response.ttl)
