"""A route's `respond` key: the answer that needs no pod."""

from __future__ import annotations

import re

from attrs import frozen

from splicer.config.plain import BadValue, integer_from, resolved, show, table_of, text
from splicer.config.structure import Reader
from splicer.model import Header, Respond, StatusPage

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?")
_OURS = {
    "connection": "the edge says itself whether it closes",
    "content-length": "it follows from the body",
    "content-type": "write content_type = ... instead",
    "transfer-encoding": "the body has a length",
}
_BODILESS = (204, 205, 304)


@frozen
class RespondSpec:
    """The keys of one table; see `model.Respond`."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[Header, ...] = ()
    draining: Respond | None = None


def respond(value: object) -> Respond | StatusPage:
    """The status page or a fixed answer."""
    if isinstance(value, dict):
        return _answer(value)
    if resolved(value) != StatusPage.STUB_STATUS:
        raise BadValue(f'must be "status" or a table such as {{ status = 200, body = "ok\\n" }}, not {show(value)}')
    return StatusPage.STUB_STATUS


def _answer(value: object) -> Respond:
    spec = _RESPOND(value)
    if spec.body and spec.status in _BODILESS:
        raise BadValue(f"a {spec.status} has no body (RFC 9110 §15)")
    return Respond(spec.status, spec.body, spec.content_type, spec.headers, spec.draining)


def _draining(value: object) -> Respond:
    if isinstance(value, dict) and "draining" in value:
        raise BadValue("has no draining of its own")
    return _answer(value)


def _body(value: object) -> bytes:
    return text(value).encode()


def _field_name(name: str) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise BadValue("is no header name (RFC 9110 §5.1)")
    if name.lower() in _OURS:
        raise BadValue(f"can't be set: {_OURS[name.lower()]}")
    return name.encode()


def _field_value(value: object) -> str:
    word = text(value)
    if not _FIELD_VALUE.fullmatch(word):
        raise BadValue(f"{show(word)} is no header value: it is ASCII without control characters and outer spaces")
    return word


def _headers(value: object) -> tuple[Header, ...]:
    return table_of(_field_name, lambda item: _field_value(item).encode())(value)


_RESPOND = Reader(
    RespondSpec,
    status=integer_from(200, 599),
    body=_body,
    content_type=_field_value,
    headers=_headers,
    draining=_draining,
)
