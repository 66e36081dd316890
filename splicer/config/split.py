"""A route's `upstream`, which is a name or a table of names with weights, and its `hash_on`."""

from __future__ import annotations

import re

from splicer.config import kinds
from splicer.config.kinds import Kind
from splicer.config.scalars import BadValue, integer_from, resolved, show, table_of, text
from splicer.patterns import HashOn

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_WEIGHT = 1_000_000
_NAMED = ("header", "query", "cookie", "capture")
_WAYS = ", ".join(f'"{source}:NAME"' for source in _NAMED)

Weights = tuple[tuple[str, int], ...]

_shares = table_of(lambda name: name, integer_from(0, _MAX_WEIGHT))


def _upstream(value: object) -> str | Weights:
    """The name of an upstream, or several with their weights."""
    value = resolved(value)
    if isinstance(value, str):
        return text(value)
    if not isinstance(value, dict):
        raise BadValue(f"must be a string, or a table such as {{ stable = 95, canary = 5 }}, not {show(value)}")
    weights = _shares(value)
    if not sum(weight for _, weight in weights):
        raise BadValue("weights add up to 0, and no request could go anywhere; give one a weight")
    return weights


def _hash_on(value: object) -> HashOn:
    """The part of a request that decides among weighted upstreams."""
    word = text(value)
    source, colon, name = word.partition(":")
    if word == "client":
        return HashOn("client")
    if source not in _NAMED or not colon:
        raise BadValue(f'{show(word)} names no part of a request; write "client", {_WAYS}')
    if not _is_name(source, name):
        raise BadValue(f"{show(name)} is no name of a {source}")
    return HashOn(source, name.lower() if source == "header" else name)


def _is_name(source: str, name: str) -> bool:
    match source:
        case "query":
            return bool(name)
        case "capture":
            return name.isidentifier()
        case _:  # RFC 9110 §5.1; RFC 6265 §4.1.1
            return _TOKEN.fullmatch(name) is not None


def _format(upstream: str | Weights) -> str | dict[str, int]:
    return upstream if isinstance(upstream, str) else dict(upstream)


UPSTREAM: Kind[str | Weights] = Kind(
    _upstream,
    _format,
    kinds.any_of(
        kinds.TEXT.schema,
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": kinds.integer(0, _MAX_WEIGHT).schema,
            "not": {"additionalProperties": {"const": 0}},  # one of them must get something
        },
    ),
    "string, or a table of upstreams with weights",
)
HASH_ON = kinds.text(
    _hash_on,
    f'`"client"`, {", ".join(f"`{way}`" for way in _WAYS.split(", "))}',
    pattern=f"client|({'|'.join(_NAMED)}):.+",
)
