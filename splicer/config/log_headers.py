"""``log.headers``: the request headers that are in the lines of the log."""

from __future__ import annotations

import re

from splicer.config import kinds, scalars
from splicer.config.kinds import Kind
from splicer.config.scalars import BadValue, show, text

_MOST = 8  # each is in two lines of a call, and in what its next worker has of it
_LONGEST_NAME = 64  # characters
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRETS = frozenset(("authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie"))
_NOT_IN_FIELD = re.compile(r"[^a-z0-9]")


def field_of(header: str) -> str:
    """The field of a header in the log: "header_user_agent"."""
    return f"header_{_NOT_IN_FIELD.sub('_', header)}"


def header(value: object) -> str:
    """The name of a header, in lower case."""
    word = text(value)
    if not _TOKEN.fullmatch(word):
        raise BadValue(f"{show(word)} is no header name (RFC 9110 §5.1)")
    if len(word) > _LONGEST_NAME:
        raise BadValue(f"{show(word)} has {len(word)} characters; at most {_LONGEST_NAME} are possible here")
    if word.lower() in _SECRETS:
        raise BadValue(f"{show(word)} holds secrets, and is never logged")
    return word.lower()


def headers(value: object) -> tuple[str, ...]:
    """Names of headers, each with a field of its own."""
    names = scalars.list_of(header)(value)
    if len(names) > _MOST:
        raise BadValue(f"has {len(names)} headers; at most {_MOST} are logged")
    fields: dict[str, str] = {}
    for name in names:
        if name in fields.values():
            raise BadValue(f"{show(name)} stands there twice")
        if (other := fields.setdefault(field_of(name), name)) != name:
            raise BadValue(f"{show(other)} and {show(name)} are the same field of the log, {field_of(name)}")
    return names


HEADERS = Kind(
    headers,
    list,
    kinds.list_of(kinds.text(header, "header"), "headers").schema | {"maxItems": _MOST},
    f"list of headers, at most {_MOST}",
)
