"""The upstream of one request, on a route that splits its requests among several."""

from __future__ import annotations

import random

from attrs import evolve

from splicer.model import Split, Upstream
from splicer.routing.split import by_chance, by_key, key_of
from splicer.session.exchange import Exchange


def upstream_of(exchange: Exchange, split: Split) -> Upstream:
    """Choose the upstream for a request; a call stays there for its life."""
    key = None
    if split.hash_on is not None:
        head, granted = exchange.head, exchange.granted
        if granted:  # by an authorizer, in place of the client's own
            head = evolve(head, headers=(*head.headers, *granted))
        key = key_of(split.hash_on, head, exchange.match.captures, exchange.forwarding.client)
    if key is not None:
        return by_key(split, key)
    return by_chance(split, random.random())  # noqa: S311 - nobody gains by a guess
