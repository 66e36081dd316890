"""A route's `authorize` key: who is asked whether a request may go on."""

from __future__ import annotations

import re

from attrs import frozen

from splicer.authorization import OnFailure
from splicer.config import kinds, route_parsers
from splicer.config.keys import key, written
from splicer.config.kinds import Kind
from splicer.config.reader import Reader
from splicer.config.scalars import BadValue, show, table_of, text
from splicer.http1.headers import is_asserted
from splicer.http1.question import is_sent

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _path(value: object) -> str:
    if not text(value).startswith("/"):
        raise BadValue('must start with "/"')
    template = route_parsers.rewrite(value)
    if template.captures:
        raise BadValue("is fixed; the authorizer gets the client's target as X-Original-URI")
    return template.render({})


def _header(value: object) -> str:
    word = text(value)
    if not _TOKEN.fullmatch(word):
        raise BadValue(f"{show(word)} is no header name (RFC 9110 §5.1)")
    return word


def _granted(value: object) -> str:
    word = _header(value)
    if is_asserted(word.encode()) or not is_sent(word):
        raise BadValue(f"{show(word)} can't come from an answer: the edge, or the client's connection, determines it")
    return word


def _sent(value: object) -> str:
    word = _header(value)
    if is_asserted(word.encode()):
        raise BadValue(f"{show(word)} always goes along, as the edge knows it; leave it out")
    if not is_sent(word):
        raise BadValue(f"{show(word)} is never sent: the question has no body, and upgrades nothing")
    return word


def _name(word: str) -> str:
    if not word.isidentifier():
        raise BadValue(f"{show(word)} is no capture's name")
    return word


_PATH = Kind(_path, lambda path: path.replace("{", "{{").replace("}", "}}"), kinds.TEXT.schema, "path")
_CAPTURES = Kind(
    table_of(_name, _header),
    lambda pairs: dict(pairs) or None,
    {"type": "object", "additionalProperties": kinds.TEXT.schema},
    "table of header names",
)


@frozen
class AuthorizeSpec:
    """The keys of the table; see `authorization.Authorize`."""

    upstream: str = key(kinds.TEXT, "The authorizer, by its name under `[upstreams]`.")
    path: str = key(_PATH, "The target of the question, which is a GET.")
    captures: tuple[tuple[str, str], ...] = key(
        _CAPTURES,
        "Captures that the answer gives, each with the header that has it; the value must be one DNS label.",
        default=(),
    )
    headers: tuple[str, ...] = key(
        kinds.list_of(kinds.text(_granted, "header"), "header names", empty="leave the key out for none"),
        "Headers of the answer that replace the client's towards the pod.",
        default=(),
    )
    send: tuple[str, ...] | None = key(
        kinds.list_of(kinds.text(_sent, "header"), "header names"),
        "The client's headers that the authorizer gets; an empty list is none.",
        default=None,
        absent="all but those of a body, an upgrade or a cache",
    )
    on_failure: OnFailure = key(
        kinds.choice("refuse", "fallback", "allow"),
        "Without a usable answer, the request gets 503 or 504, goes to the route's fallback, or goes on.",
        default="refuse",
    )

    @property
    def names(self) -> frozenset[str]:
        """The names of its captures."""
        return frozenset(name for name, _ in self.captures)


AUTHORIZER = Reader(AuthorizeSpec)
AUTHORIZE: Kind[AuthorizeSpec] = Kind(
    AUTHORIZER,
    lambda spec: written(AUTHORIZER.keys, spec),
    AUTHORIZER.schema(),
    "table",
    brief=lambda spec: f"{spec.upstream} {spec.path}",
)
