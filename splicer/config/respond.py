"""A route's `respond` key: an answer without a pod."""

from __future__ import annotations

import re
from typing import Any

from splicer.config import kinds
from splicer.config.keys import Key, written
from splicer.config.reader import Reader
from splicer.config.scalars import BadValue, resolved, show, table_of, text
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


def respond(value: object) -> Respond | StatusPage:
    """The status page or a fixed answer."""
    if isinstance(value, dict):
        return _answer(value, ANSWER)
    if resolved(value) != StatusPage.STUB_STATUS:
        raise BadValue(f'must be "status" or a table such as {{ status = 200, body = "ok\\n" }}, not {show(value)}')
    return StatusPage.STUB_STATUS


def _answer(value: object, reader: Reader[Respond]) -> Respond:
    answer = reader(value)
    if answer.body and answer.status in _BODILESS:
        raise BadValue(f"a {answer.status} has no body (RFC 9110 §15)")
    return answer


def _instead(value: object) -> Respond:
    for key in _INSTEAD:
        if isinstance(value, dict) and key in value:
            raise BadValue(f"has no {key} of its own")
    return _answer(value, _PLAIN)


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


def _format(value: Respond | StatusPage) -> Any:
    return str(value) if isinstance(value, StatusPage) else written(ANSWER.keys, value)


def _brief(value: Respond | StatusPage) -> str:
    return str(value) if isinstance(value, StatusPage) else f"{value.status} {show(value.body.decode())}"


BODY = kinds.Kind(_body, bytes.decode, kinds.TEXT.schema, "string")
CONTENT_TYPE = kinds.text(_field_value, "string")

_KEYS = {
    "status": Key(kinds.integer(200, 599), "The status of the answer.", required=True),
    "body": Key(BODY, "The whole body."),
    "content_type": Key(CONTENT_TYPE, "The `Content-Type` of the body."),
    "headers": Key(
        kinds.Kind(
            _headers,
            lambda headers: {name.decode(): value.decode() for name, value in headers},
            {"type": "object", "additionalProperties": kinds.TEXT.schema},
            "table of strings",
        ),
        "More header fields.",
    ),
}
_PLAIN = Reader(Respond, _KEYS)
_INSTEAD_KIND = kinds.Kind(_instead, lambda answer: written(_KEYS, answer), _PLAIN.schema(), "table")
_INSTEAD = {
    "draining": Key(
        _INSTEAD_KIND,
        "The answer while splicer is being drained, as a table with the same keys.",
        absent="the same answer",
    ),
    "unprotected": Key(
        _INSTEAD_KIND,
        "The answer while calls would be lost with their worker, because the vault is away or takes nothing. "
        "`draining` goes first.",
        absent="the same answer",
    ),
}
ANSWER = Reader(Respond, _KEYS | _INSTEAD)

RESPOND = kinds.Kind(
    respond,
    _format,
    kinds.any_of({"enum": [str(StatusPage.STUB_STATUS)]}, kinds.REFERENCE, ANSWER.schema()),
    '`"status"`, or a table',
    brief=_brief,
)
