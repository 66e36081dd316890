"""A route's `redirect` key: an answer that leads the client elsewhere."""

from __future__ import annotations

import re

from splicer.config import kinds
from splicer.config.keys import Key, written
from splicer.config.kinds import Kind
from splicer.config.reader import Reader
from splicer.config.scalars import BadValue, integer, show, text
from splicer.edits import Redirect
from splicer.routing.location import Location, parse_location

_STATUSES = (301, 302, 303, 307, 308)
_NOT_IN_URL = re.compile(r"[^!-~]|%(?![0-9A-Fa-f]{2})")


def _location(value: object) -> Location:
    word = text(value)
    if odd := _NOT_IN_URL.search(word):
        encoded = "".join(f"%{byte:02X}" for byte in odd[0].encode("utf-8", "surrogatepass"))
        raise BadValue(f"{show(odd[0])} stands in no URL as it is; write {encoded}")
    return parse_location(word)


def _status(value: object) -> int:
    status = integer(value)
    if status not in _STATUSES:
        raise BadValue(f"must be one of {', '.join(map(str, _STATUSES))}, not {status}")
    return status


REDIRECT_KEYS = {
    "to": Key(
        Kind(_location, lambda location: location.text, kinds.TEXT.schema, "URL or path with `{names}`"),
        "Where the answer leads: a URL, or a path on the same host.",
        required=True,
    ),
    "status": Key(
        Kind(
            _status,
            kinds.unchanged,
            kinds.any_of({"type": "integer", "enum": list(_STATUSES)}, kinds.REFERENCE),
            ", ".join(map(str, _STATUSES[:-1])) + f" or {_STATUSES[-1]}",
        ),
        "The status. After 307 and 308 a client repeats the method and the body; 301 and 308 are remembered.",
    ),
}
REDIRECT_TABLE = Reader(Redirect, REDIRECT_KEYS)


def _brief(redirect: Redirect) -> str:
    return f"{redirect.status} {redirect.to.text}"


REDIRECT: Kind[Redirect | None] = Kind(
    REDIRECT_TABLE, lambda redirect: written(REDIRECT_KEYS, redirect), REDIRECT_TABLE.schema(), "table", brief=_brief
)
