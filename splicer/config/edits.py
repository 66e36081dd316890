"""A route's `host`, `request_headers` and `response_headers`: what is changed in the heads of its messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from splicer.config import kinds
from splicer.config.kinds import Kind
from splicer.config.scalars import BadValue, show, table_of, text
from splicer.edits import HeaderEdits, Value, same_field
from splicer.http1.target import is_authority
from splicer.routing.value import HeaderName, RequestValue, parse_value

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ODD = re.compile(r"[^\t -~]")

_CONNECTION = "it belongs to one connection"
_FRAMING = "it says where the message ends"
_FORWARDED = "it says where a request comes from, which the edge knows"
_OWN: Mapping[str, str] = MappingProxyType(
    {
        "connection": _CONNECTION,
        "keep-alive": _CONNECTION,
        "proxy-connection": _CONNECTION,
        "te": _CONNECTION,
        "upgrade": _CONNECTION,
        "content-length": _FRAMING,
        "transfer-encoding": _FRAMING,
        "trailer": _FRAMING,
        "expect": "the edge and the pod answer it",
        "host": "write host = ... instead",
        "via": "the edge finds loops by it",
        "forwarded": _FORWARDED,
        "x-real-ip": _FORWARDED,
        "x-request-id": "the log has it as the request's id; send {request_id} in a field of another name",
        "x-original-uri": "the edge sends it whenever the pod gets another target than the client's",
    }
)
_OWN_FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "sec-websocket-": "the handshake needs it",
        "x-forwarded-": _FORWARDED,
        "x-splicer-": "such names are the edge's own",
    }
)


def value(word: object) -> RequestValue:
    """A header field's value, with ``{captures}`` and the names of the request's facts."""
    word = text(word)
    if odd := _ODD.search(word):
        raise BadValue(f"{show(odd[0])} is in no header value: it is ASCII without control characters")
    if not word or word != word.strip(" \t"):
        raise BadValue("a header value is not empty and has no outer spaces; write false to remove the header")
    return parse_value(word)


def _edit(word: object) -> RequestValue | None:
    if word is False:
        return None
    if isinstance(word, bool):
        raise BadValue("must be a string, or false to remove the header")
    return value(word)


def _name(word: str) -> bytes:
    if not _TOKEN.fullmatch(word):
        raise BadValue("is no header name (RFC 9110 §5.1)")
    name = same_field(word.encode()).decode()
    why = _OWN.get(name) or next((why for family, why in _OWN_FAMILIES.items() if name.startswith(family)), None)
    if why is not None:
        raise BadValue(f"can't be set: {why}")
    return word.encode()


_table: Callable[[object], tuple[tuple[bytes, RequestValue | None], ...]] = table_of(_name, _edit)


def _headers(table: object) -> HeaderEdits | None:
    entries = _table(table)
    known: dict[bytes, bytes] = {}
    for name, _ in entries:
        if (other := known.setdefault(same_field(name), name)) != name:
            raise BadValue(f"{show(other.decode())} and {show(name.decode())} are the same header")
    return HeaderEdits(entries) if entries else None


def _written(edits: HeaderEdits) -> dict[str, Any]:
    return {name.decode(): False if item is None else item.text for name, item in edits.entries}


# What the names come to is checked for each request (`session.facts`).
def _host(word: object) -> RequestValue:
    word = text(word)
    template = parse_value(word)
    if any(isinstance(part, HeaderName) for part in template.parts):
        raise BadValue("no header field may choose the host")
    if not is_authority("".join(part if isinstance(part, str) else "x" for part in template.parts)):
        raise BadValue(f'{show(word)} is no host; write for example "app.example" or "app.example:8080"')
    return template


HEADERS: Kind[HeaderEdits | None] = Kind(
    _headers,
    _written,
    {"type": "object", "additionalProperties": kinds.any_of(kinds.TEXT.schema, {"enum": [False]})},
    "table of header values, or `false`",
)
HOST: Kind[Value | None] = Kind(_host, lambda template: template.text, kinds.TEXT.schema, "host")
