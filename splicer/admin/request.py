"""Reading and checking a request's query and body."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

import h11
import trio

from splicer.admin.dispatch import Page
from splicer.errors import BadRequest, BodyTimeout, BodyTooLarge, ClientGone
from splicer.http1.body import BodyReader, request_body
from splicer.model import RequestHead
from splicer.session.client import ClientLeg

_MOST_BYTES = 64 * 1024
_BODY_TIMEOUT = 10.0  # seconds for the whole body, however slowly it comes
_MOST_PARAMETERS = 200
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def read_query(head: RequestHead, page: Page) -> dict[str, list[str]]:
    """All values of each parameter.

    Raises:
        BadRequest: the query is malformed, or has parameters that the page does not allow.
    """
    try:
        query = parse_qs(head.query or "", keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise BadRequest(f"the query can't be read: {error}") from error
    _refuse_unknown(query, page.query, "parameter")
    return query


async def read_body(client: ClientLeg, head: RequestHead, server: h11.Connection, page: Page) -> bytes:
    """The whole body; b"" if there is none.

    Args:
        client: the connection to read from.
        head: the request's head.
        server: the h11 connection that has read the head.
        page: the page that was asked for.

    Raises:
        BodyTooLarge: it is longer than 64 KiB, or the page takes no body.
        BodyTimeout: it does not come in time.
        BadRequest: its framing is malformed.
        ClientGone: the client closed in the middle.
    """
    if not head.has_body:
        return b""
    if page.body is None:
        raise BodyTooLarge("a body where none is wanted")
    if (head.content_length or 0) > _MOST_BYTES:
        raise _too_large()
    with trio.move_on_after(_BODY_TIMEOUT):
        if server.they_are_waiting_for_100_continue:
            await client.send_all(_CONTINUE)
        return await _read(client, request_body(head, _MOST_BYTES))
    raise BodyTimeout(f"the body did not come within {_BODY_TIMEOUT:g} s")


def parse_body(data: bytes, page: Page) -> dict[str, Any] | None:
    """The JSON object in a body; None if the body is empty.

    Raises:
        BadRequest: it is no JSON object, or has keys that the page does not allow.
    """
    if not data.strip():
        return None
    body = _object(data)
    _refuse_unknown(body, page.body or frozenset(), "key")
    return body


async def _read(client: ClientLeg, reader: BodyReader) -> bytes:
    data = bytearray()
    while True:
        piece = reader.read()
        data += piece
        if len(data) > _MOST_BYTES:
            raise _too_large()
        if reader.end is not None:
            client.buffer[:0] = reader.trailing
            return bytes(data)
        if not piece:
            received = await client.receive_some()
            if not received:
                raise ClientGone("closed in the middle of its request body")
            reader.feed(received)
        await trio.lowlevel.checkpoint()


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {_MOST_BYTES} bytes")


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise BadRequest("the body is nested too deep") from None
    except ValueError as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest("the body is no JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is there twice")
    return value


def _refuse_unknown(names: Iterable[str], known: frozenset[str], what: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        told = ", ".join(repr(name[:100]) for name in unknown[:10])
        raise BadRequest(f"unknown {what} {told}; known are: {', '.join(sorted(known)) or 'none'}")
