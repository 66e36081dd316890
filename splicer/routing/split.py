"""The choice among the weighted upstreams of a route."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b

from splicer.model import RequestHead, Split, Upstream
from splicer.patterns import HashOn
from splicer.routing.normal import normal_form
from splicer.routing.query import first_values

_BITS = 52  # of a hash that are used: a number of more bits could be rounded to 1, whose logarithm is 0


def by_chance(split: Split, number: float) -> Upstream:
    """The upstream for a random number from 0 to 1, without 1; each is chosen as often as its weight says."""
    point = number * sum(weight for _, weight in split.shares)
    for upstream, weight in split.shares:
        point -= weight
        if point < 0:
            return upstream
    raise AssertionError("the number is below 1")


# Weighted rendezvous hashing (C. Schindelhauer and G. Schomaker, "Weighted Distributed Hash Tables", 2005, the
# logarithmic method). Each score depends on its own upstream's weight alone. So a higher weight moves keys only to its
# upstream, and a new upstream takes only the keys that it gets, whatever the order in the file. Where cumulative
# intervals are used, a weight that grows shifts the borders between all others.
def by_key(split: Split, key: bytes) -> Upstream:
    """The upstream of a key, always the same; each gets as many of the keys as its weight says."""

    def score(share: tuple[Upstream, int]) -> float:
        upstream, weight = share
        digest = blake2b(upstream.name.encode() + b"\0" + key, digest_size=8).digest()
        number = int.from_bytes(digest, "big") >> (64 - _BITS)
        return -weight / math.log((number + 0.5) / 2**_BITS)

    return max(split.shares, key=score)[0]


def key_of(hash_on: HashOn, head: RequestHead, captures: Mapping[str, str], client: str) -> bytes | None:
    """The value that decides for a request; None if it has none, or an empty one.

    Args:
        hash_on: the part of the request.
        head: the request.
        captures: of the route's pattern, as received.
        client: the client's address after `trusted_proxies`.
    """
    name = hash_on.name
    match hash_on.source:
        case "client":
            value = client.encode()
        case "header":
            value = b",".join(head.values(name.encode()))
        case "query":
            value = first_values(head.query or "", {name.encode()}).get(name.encode(), b"")
        case "cookie":
            value = _cookie(head, name.encode())
        case _:
            value = normal_form(captures[name]).encode()
    return value or None


# RFC 6265 §5.4: a client sends one Cookie field; several lines stand for one.
def _cookie(head: RequestHead, name: bytes) -> bytes:
    for line in head.values(b"cookie"):
        for pair in line.split(b";"):
            own, _, value = pair.partition(b"=")
            if own.strip(b" \t") == name:
                return value.strip(b" \t")
    return b""
