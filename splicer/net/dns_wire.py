"""DNS messages (RFC 1035 §4.1): questions, and a parser of responses that reads only what a lookup of addresses needs.

dnspython takes 40 µs and more for a record, 0.3 s for an answer of 64 KiB, and all calls of the worker wait meanwhile.
"""

from __future__ import annotations

import math
import os
import socket
import struct
from contextlib import nullcontext, suppress

from attrs import frozen

from splicer.errors import ResolveFailed
from splicer.net.dns_names import Rcode, RdataType

_HEADER = struct.Struct("!HHHHHH")  # id, flags, and the counts of questions, answers, authorities and additionals
_RECORD = struct.Struct("!HHIH")  # after the name: type, class, TTL, length of the data
_OPT = struct.Struct("!BHHIH")  # the root's name, type, bytes that an answer may have, flags, length (RFC 6891 §6.1.2)
_OPT_TYPE = 41
_RECURSION_DESIRED = 0x0100
_RESPONSE, _OPCODE, _TRUNCATED, _RCODE = 0x8000, 0x7800, 0x0200, 0x000F
_IN = 1
_POINTER = 0xC0
_LONGEST_LABEL, _LONGEST_NAME = 63, 254  # bytes; a name counts its length bytes, but not the root's
_LONGEST_TTL = 2**31 - 1  # seconds; a larger value counts as 0 (RFC 2181 §8)
# With these codes some servers leave the question out.
_WITHOUT_QUESTION = frozenset({Rcode.FORMERR, Rcode.SERVFAIL, Rcode.NOTIMP, Rcode.REFUSED})
_TOO_SHORT = (struct.error, IndexError)
_SHORTEST_SOA = 22  # bytes
_MOST_ALIASES = 16
_CNAME, _SOA, _NS = int(RdataType.CNAME), int(RdataType.SOA), int(RdataType.NS)  # plain ints compare faster
_ADDRESSES = {RdataType.A: (socket.AF_INET, 4), RdataType.AAAA: (socket.AF_INET6, 16)}


@frozen
class Query:
    """A question about addresses.

    Args:
        wire: the message as it is sent.
        question: name, type and class as they stand in a message, the name in lower case.
        kind: the type, A or AAAA.
    """

    wire: bytes
    question: bytes
    kind: RdataType


def make_query(name: bytes, kind: RdataType, payload: int | None) -> Query:
    """Write a question.

    Args:
        name: the name whose addresses are wanted (`dns_names.to_wire`).
        kind: A or AAAA.
        payload: bytes that an answer over UDP may have (EDNS, RFC 6891 §6.2.3); None: without EDNS.
    """
    kind_and_class = struct.pack("!HH", kind, _IN)
    more = b"" if payload is None else _OPT.pack(0, _OPT_TYPE, payload, 0, 0)
    number = int.from_bytes(os.urandom(2), "big")  # a forged answer must guess it (RFC 5452 §9.2)
    header = _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 1 if more else 0)
    return Query(header + name + kind_and_class + more, name.lower() + kind_and_class, kind)


@frozen
class Response:
    """A response to a question about addresses.

    Args:
        rcode: see `dns_names.Rcode`; it may be another one.
        truncated: the TC flag: records are missing.
        addresses: numeric, in the order served, of the name asked for or of the one that its aliases lead to.
        ttl: seconds; the smallest TTL of the aliases and addresses; without addresses, of the aliases and the negative
            TTL of the zone's SOA (RFC 2308 §5).
        alias: the name that the aliases lead to, as it stands in a message; None without aliases.
        alias_ttl: seconds; the smallest TTL of the aliases alone.
        referral: the authority section has NS records only.
    """

    rcode: int
    truncated: bool
    addresses: tuple[str, ...] = ()
    ttl: float = math.inf
    alias: bytes | None = None
    alias_ttl: float = math.inf
    referral: bool = False


def read_response(wire: bytes, query: Query) -> Response | None:
    """Read a response.

    Args:
        wire: the message that came.
        query: the query that was sent.

    Returns:
        None if the message answers another query.

    Raises:
        ValueError: the message is malformed; one with the TC flag may end anywhere.
        ResolveFailed: the message contradicts itself: endless aliases, or addresses of a name that does not exist.
    """
    question = query.question
    try:
        _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(wire)
        if wire[:2] != query.wire[:2] or flags & (_RESPONSE | _OPCODE) != _RESPONSE:
            return None
        rcode, truncated = flags & _RCODE, bool(flags & _TRUNCATED)
        at = _HEADER.size + len(question)
        if rcode in _WITHOUT_QUESTION and (questions == 0 or len(wire) == _HEADER.size):
            return Response(rcode, truncated)
        if questions != 1 or wire[_HEADER.size : at].lower() != question:
            return None
        records = _Records(wire, query.kind)
        name, _ = records.name(_HEADER.size)
        with suppress(*_TOO_SHORT) if truncated else nullcontext():
            for left in range(answers + authorities, 0, -1):
                at = records.take(at, authority=left <= authorities)
    except _TOO_SHORT as error:
        raise ValueError("a message that ends too early") from error
    return records.response(rcode, name, truncated=truncated)


class _Records:
    """The relevant records of a message.

    Invariant: no byte is read twice as part of a name. The name that begins at an offset is remembered by that offset.
    """

    def __init__(self, wire: bytes, kind: RdataType) -> None:
        self._wire = wire
        self._kind = int(kind)
        self._family, self._size = _ADDRESSES[kind]
        self._known: dict[int, bytes] = {}
        self._addresses: dict[bytes, list[bytes]] = {}
        self._ttls: dict[bytes, float] = {}  # the smallest TTL of a name's addresses
        self._aliases: dict[bytes, tuple[bytes, float]] = {}
        self._negative = math.inf  # seconds; the negative TTL of the zone's SOA
        self._authorities: set[int] = set()

    def name(self, at: int) -> tuple[bytes, int]:
        """Read the name at an offset; return it in lower case, and the offset behind it."""
        wire, known = self._wire, self._known
        path: list[tuple[int, bytes]] = []
        end, segment = 0, at
        while at not in known:
            length = wire[at]
            if length >= _POINTER:
                end = end or at + 2
                target = (length - _POINTER) << 8 | wire[at + 1]
                if target >= segment:
                    raise ValueError("a name that leads forward")
                path.append((at, b""))
                at = segment = target
            elif length > _LONGEST_LABEL:
                raise ValueError("a label of an unknown kind")
            elif length:
                path.append((at, wire[at : at + 1 + length].lower()))
                at += 1 + length
            else:
                end = end or at + 1
                known[at] = b""
        name = known[at]
        for place, label in reversed(path):
            known[place] = name = label + name
            if len(name) > _LONGEST_NAME:
                raise ValueError("a name over 255 bytes")
        return name, end

    def take(self, at: int, *, authority: bool) -> int:
        """Read the record at an offset of the answer or authority section; return the offset behind it."""
        owner, at = self.name(at)
        kind, klass, ttl, size = _RECORD.unpack_from(self._wire, at)
        at += _RECORD.size
        end: int = at + size
        if end > len(self._wire):
            raise IndexError
        ttl = ttl if ttl <= _LONGEST_TTL else 0
        if authority:
            self._authorities.add(kind)
            if kind == _SOA and size >= _SHORTEST_SOA:
                self._negative = min(self._negative, ttl, *struct.unpack_from("!I", self._wire, end - 4))
        elif klass == _IN and kind == self._kind:
            if size != self._size:
                raise ValueError("an address of the wrong length")
            self._addresses.setdefault(owner, []).append(self._wire[at:end])
            self._ttls[owner] = min(self._ttls.get(owner, math.inf), ttl)
        elif klass == _IN and kind == _CNAME:
            target, _ = self.name(at)
            self._aliases[owner] = target, ttl
        return end

    def response(self, rcode: int, name: bytes, *, truncated: bool) -> Response:
        """The response about a name, made from these records."""
        followed, alias_ttl = 0, math.inf
        while name not in self._addresses and name in self._aliases:
            name, ttl = self._aliases[name]
            alias_ttl = min(alias_ttl, ttl)
            followed += 1
            if followed > _MOST_ALIASES:
                raise ResolveFailed("no end of aliases")
        found = dict.fromkeys(self._addresses.get(name, ()))
        if found and rcode == Rcode.NXDOMAIN:
            raise ResolveFailed("addresses of a name that does not exist")
        return Response(
            rcode,
            truncated,
            tuple(socket.inet_ntop(self._family, address) for address in found),
            min(alias_ttl, self._ttls[name] if found else self._negative),
            name + b"\0" if followed else None,
            alias_ttl,
            referral=self._authorities == {_NS},
        )
