"""A route's `rate_limit` key."""

from __future__ import annotations

import re

from attrs import frozen

from splicer.config import kinds
from splicer.config.keys import key, written
from splicer.config.kinds import Kind
from splicer.config.reader import Reader
from splicer.config.scalars import BadValue, show, suggest, text
from splicer.rates import UNITS, Rate, RateLimit

_MOST = 1_000_000
_RATE = re.compile(r"(\d{1,18})/([a-z]+)", re.ASCII)
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER = "header:"


def rate(value: object) -> Rate:
    """Requests in a unit of time: "50/s", "10/m" or "100/h"."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise BadValue(f'a rate needs a unit of time; write "{value if 0 < value <= _MOST else 50}/s"')
    word = text(value)
    if word.isdecimal():
        raise BadValue(f"a rate needs a unit of time; write {show(word + '/s')}")
    parts = _RATE.fullmatch(word)
    if parts is None or parts[2] not in UNITS:
        raise BadValue(f'{show(word)} is no rate such as "50/s", "10/m" or "100/h"')
    count = int(parts[1])
    if not 1 <= count <= _MOST:
        raise BadValue(f"must be between 1 and {_MOST} in a unit of time, not {count}")
    return Rate(count, parts[2])


def limited_by(value: object) -> str:
    """What has a bucket of its own: "client", "route", or "header:NAME"; the name comes out in lower case."""
    word = text(value)
    if word.startswith(_HEADER):
        name = word.removeprefix(_HEADER)
        if not _FIELD_NAME.fullmatch(name):
            raise BadValue(f'{show(name)} is no header name; write for example "header:x-api-key"')
        return word.lower()
    if word not in ("client", "route"):
        raise BadValue(
            f'must be "client", "route" or "header:NAME", not {show(word)}{suggest(word, ("client", "route"))}'
        )
    return word


@frozen
class _Spec:
    rate: Rate = key(
        kinds.text(rate, "rate", pattern="[0-9]+/[smh]"),
        'The requests that are served in the long run: `"50/s"`, `"10/m"` or `"100/h"`.',
    )
    burst: int | None = key(
        kinds.integer(1, _MOST),
        "The requests that may come at once.",
        default=None,
        absent="the number in `rate`",
    )
    by: str = key(
        kinds.text(limited_by, '`"client"`, `"route"` or `"header:NAME"`', pattern="client|route|header:.+"),
        "Who has a rate of its own: each client address (IPv6: each /64), each value of a header, or the route as a "
        "whole.",
        default="client",
    )


TABLE = Reader(_Spec)


def rate_limit(value: object) -> RateLimit:
    """The limit of a route."""
    spec = TABLE(value)
    return RateLimit(spec.rate, spec.burst or spec.rate.count, spec.by)


RATE_LIMIT = Kind(
    rate_limit,
    lambda limit: written(TABLE.keys, limit),
    TABLE.schema(),
    "table",
    brief=lambda limit: f"{limit.rate}, burst {limit.burst}, by {limit.by}",
)
