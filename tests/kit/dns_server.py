"""A name server under test control, on real UDP and TCP sockets, in the test's own nursery.

    server = await DnsServer.start(nursery)
    server.set("pod-0.example", "127.0.0.10", ttl=5)
    ... nameservers = ["127.0.0.1:<server.port>"] ...
    server.misbehave("pod-0.example", rcode="SERVFAIL")
    assert server.count("pod-0.example", "A") == 1

Names are case-insensitive, with or without the last dot. A name that was never set, or was removed, does not exist
(NXDOMAIN); one that has no record of the type asked for gets an empty answer (NODATA).
"""

from __future__ import annotations

import math
import socket
import struct
from collections import Counter
from ipaddress import ip_address
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import trio
from attrs import define, field
from dns.rdatatype import RdataType

ANY = "*"


@define
class Misbehaviour:
    """What a server does instead of, or before, a good answer.

    `rcode`: answer this ("SERVFAIL", "REFUSED", "NXDOMAIN" ...) and nothing else. `silent`: don't answer.
    `delay`: seconds before the answer. `truncated`: over UDP, the TC bit and the first `kept` records. `tcp`: "closed"
    at the question, or "silent". `garbage`: these bytes, after the query's own id. `no_edns`: to a question with an OPT
    record this rcode, in a header without any section, or "silence". `alias_alone`: a CNAME without what it leads to.
    `referral`: to other name servers, instead of an answer. `times`: for so many questions.
    """

    rcode: str | None = None
    silent: bool = False
    delay: float = 0.0
    truncated: bool = False
    kept: int = 0
    tcp: str | None = None
    garbage: bytes | None = None
    no_edns: str | None = None
    alias_alone: bool = False
    referral: bool = False
    times: float = math.inf


@define
class DnsServer:
    """See the module. `negative_ttl` is the SOA's minimum, in seconds."""

    host: str
    port: int
    negative_ttl: int = 30
    tcp_queries: int = 0
    _udp: trio.socket.SocketType = field(kw_only=True, alias="udp")
    _tcp: trio.SocketListener = field(kw_only=True, alias="tcp")
    _records: dict[str, list[dns.rrset.RRset]] = field(factory=dict, init=False)
    _moods: dict[tuple[str, str], Misbehaviour] = field(factory=dict, init=False)
    _counts: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    @classmethod
    async def start(cls, nursery: trio.Nursery, host: str = "127.0.0.1", port: int = 0) -> DnsServer:
        """A server that answers until the nursery is cancelled or `stop` is called; port 0 takes any free one."""
        udp, tcp = await _sockets(host, port)
        server = cls(host, udp.getsockname()[1], udp=udp, tcp=tcp)
        nursery.start_soon(server._serve)
        return server

    def stop(self) -> None:
        """Close both sockets: from now on nobody listens there."""
        self._scope.cancel()

    def set(self, name: str, *addresses: str, ttl: int = 30) -> None:
        """Give a name these addresses (IPv4 as A, IPv6 as AAAA) instead of what it had; none: it exists, empty."""
        v4 = [address for address in addresses if ip_address(address).version == 4]
        v6 = [address for address in addresses if ip_address(address).version == 6]
        owner = _name(name)
        self._records[_key(name)] = [
            dns.rrset.from_text_list(owner, ttl, "IN", kind, texts)
            for kind, texts in (("A", v4), ("AAAA", v6))
            if texts
        ]

    def alias(self, name: str, target: str, ttl: int = 30) -> None:
        """Make a name a CNAME of another."""
        self._records[_key(name)] = [dns.rrset.from_text(_name(name), ttl, "IN", "CNAME", str(_name(target)))]

    def remove(self, name: str) -> None:
        """From now on the name does not exist."""
        del self._records[_key(name)]

    def misbehave(self, name: str = ANY, kind: str = ANY, **how: Any) -> None:
        """Treat questions for a name and type ("A", "AAAA") so; the most exact rule counts. See `Misbehaviour`."""
        self._moods[_key(name), kind] = Misbehaviour(**how)

    def behave(self) -> None:
        """Forget every `misbehave`."""
        self._moods.clear()

    def count(self, name: str = ANY, kind: str = ANY) -> int:
        """How many questions came for a name and type; each transport counts by itself."""
        name = _key(name)
        return sum(n for (asked, of), n in self._counts.items() if name in (ANY, asked) and kind in (ANY, of))

    async def _serve(self) -> None:
        with self._scope, self._udp:
            async with self._tcp, trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, self._serve_tcp, [self._tcp])
                while True:
                    wire, client = await self._udp.recvfrom(65535)
                    nursery.start_soon(self._answer_udp, wire, client)

    async def _answer_udp(self, wire: bytes, client: object) -> None:
        answer = await self._answer(wire, over_udp=True)
        if answer is not None:
            await self._udp.sendto(answer, client)  # type: ignore[call-overload]  # trio types addresses loosely

    async def _serve_tcp(self, stream: trio.SocketStream) -> None:
        buffer = b""
        async with stream:
            while chunk := await stream.receive_some(65535):
                buffer += chunk
                while len(buffer) >= 2 and len(buffer) >= 2 + (size := struct.unpack("!H", buffer[:2])[0]):
                    self.tcp_queries += 1
                    answer = await self._answer(buffer[2 : 2 + size], over_udp=False)
                    buffer = buffer[2 + size :]
                    if answer == b"":
                        return
                    if answer is not None:
                        await stream.send_all(struct.pack("!H", len(answer)) + answer)

    async def _answer(self, wire: bytes, *, over_udp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = _key(str(question.name)), RdataType(question.rdtype).name
        self._counts[name, kind] += 1
        mood = self._mood(name, kind)
        if mood.delay:
            await trio.sleep(mood.delay)
        if mood.silent or (mood.tcp == "silent" and not over_udp):
            return None
        if mood.tcp == "closed" and not over_udp:
            return b""
        if mood.no_edns == "silence" and query.edns >= 0:
            return None
        if mood.no_edns is not None and query.edns >= 0:
            return wire[:2] + struct.pack("!5H", dns.flags.QR | dns.rcode.from_text(mood.no_edns), 0, 0, 0, 0)
        response = dns.message.make_response(query, recursion_available=True)
        if mood.truncated and over_udp:
            self._fill(response, name, question.rdtype)
            response.answer = _first(response.answer, mood.kept)
            response.flags |= dns.flags.TC
        elif mood.referral:
            response.flags &= ~dns.flags.RA
            response.authority.append(dns.rrset.from_text(dns.name.root, 30, "IN", "NS", "elsewhere.example."))
        elif mood.alias_alone:
            response.answer += self._records.get(name, [])[:1]
        elif mood.garbage is not None:
            return wire[:2] + mood.garbage
        elif mood.rcode is not None:
            response.set_rcode(dns.rcode.from_text(mood.rcode))
        else:
            self._fill(response, name, question.rdtype)
        limit = max(512, query.payload) if over_udp else 65535
        return response.to_wire(max_size=limit, prefer_truncation=True, want_shuffle=False)

    def _mood(self, name: str, kind: str) -> Misbehaviour:
        for key in ((name, kind), (name, ANY), (ANY, kind), (ANY, ANY)):
            if (mood := self._moods.get(key)) is not None and mood.times > 0:
                mood.times -= 1
                return mood
        return Misbehaviour()

    def _fill(self, response: dns.message.Message, name: str, kind: RdataType) -> None:
        while (alias := self._one(name, RdataType.CNAME)) is not None:
            response.answer.append(alias)
            name = _key(str(alias[0].target))
        if (found := self._one(name, kind)) is not None:
            response.answer.append(found)
            return
        if name not in self._records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns. admin. 1 3600 600 86400 {self.negative_ttl}"
        response.authority.append(dns.rrset.from_text(dns.name.root, 3600, "IN", "SOA", soa))

    def _one(self, name: str, kind: RdataType) -> dns.rrset.RRset | None:
        return next((rrset for rrset in self._records.get(name, ()) if rrset.rdtype == kind), None)


async def _sockets(host: str, port: int) -> tuple[trio.socket.SocketType, trio.SocketListener]:
    """UDP and TCP on one port; a free UDP port may be taken for TCP, so it takes a few tries."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        udp = trio.socket.socket(family, socket.SOCK_DGRAM)
        tcp = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            await udp.bind((host, port))
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            await tcp.bind((host, udp.getsockname()[1]))
            tcp.listen()
        except OSError:
            udp.close()
            tcp.close()
            if port:
                raise
        else:
            return udp, trio.SocketListener(tcp)


def _first(rrsets: list[dns.rrset.RRset], count: int) -> list[dns.rrset.RRset]:
    """The first so many records of an answer."""
    kept = []
    for rrset in rrsets:
        if texts := [record.to_text() for record in rrset][:count]:
            kept.append(dns.rrset.from_text_list(rrset.name, rrset.ttl, rrset.rdclass, rrset.rdtype, texts))
            count -= len(texts)
    return kept


def _name(name: str) -> dns.name.Name:
    return dns.name.from_text(name)


def _key(name: str) -> str:
    return name.lower().removesuffix(".")
