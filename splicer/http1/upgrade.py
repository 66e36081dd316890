"""The handshake gate: whether a request is an upgrade, and whether a 101 answers it (design §5)."""

from __future__ import annotations

import re

from wsproto.utilities import generate_accept_token

from splicer.edits import FieldEdits
from splicer.errors import BadAnswer, BadRequest, BadWebSocketVersion
from splicer.http1.headers import forwarded_headers, gather, serialize_fields
from splicer.http1.lists import list_members
from splicer.model import Header, RequestHead, ResponseHead

_WEBSOCKET = "websocket"
_ANSWER_FIELDS = frozenset({b"connection", b"upgrade", b"sec-websocket-accept"})
_FRAMING = frozenset({b"content-length"})
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64


def wanted_upgrade(head: RequestHead, allowed: tuple[str, ...]) -> str | None:
    """Decide whether a request is an upgrade that its route allows (RFC 9110 §7.8, RFC 6455 §4.2.1).

    Faults of a WebSocket handshake are checked in this order: the body, then the version (another version may have
    another key), then the key.

    Args:
        head: the client's request.
        allowed: the route's `upgrade`, in lower case.

    Returns:
        The first protocol of the client's Upgrade that is allowed; None for plain HTTP, without the Upgrade.

    Raises:
        BadWebSocketVersion: a WebSocket handshake without exactly one version 13.
        BadRequest: a WebSocket handshake with a body, or without exactly one key of 16 bytes.
    """
    if not allowed or head.method != "GET" or head.version != "1.1":
        return None
    wanted = head.values(b"upgrade")
    if not wanted or b"upgrade" not in list_members(head.values(b"connection")):
        return None
    protocol = None
    for member in list_members(wanted):
        if (name := member.decode("latin-1")) in allowed:
            protocol = name
            break
    if protocol != _WEBSOCKET:
        return None if head.has_body else protocol

    if head.has_body:
        raise BadRequest("WebSocket handshake with a body")
    if head.values(b"sec-websocket-version") != [b"13"]:
        raise BadWebSocketVersion("WebSocket version other than 13")
    keys = head.values(b"sec-websocket-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise BadRequest("Sec-WebSocket-Key is not one key of 16 bytes")
    return protocol


# Invariant: a tunnel opens only for an answer to this very request. Any other answer, of the pod or of a cache in front
# of it, is never spliced.
def verify_upgrade(head: RequestHead, answer: ResponseHead, protocol: str) -> None:
    """Check the answer to an upgrade (RFC 9110 §7.8, RFC 6455 §4.1).

    Args:
        head: the client's request.
        answer: the pod's final answer.
        protocol: what `wanted_upgrade` returned.

    Raises:
        BadAnswer: the answer does not open this tunnel.
    """
    if answer.status != 101:
        raise BadAnswer(f"status {answer.status} opens no tunnel")
    fields = gather(answer.headers, _ANSWER_FIELDS)
    upgrade = fields.get(b"upgrade", ())
    if len(upgrade) != 1 or upgrade[0].lower() != protocol.encode("latin-1"):
        raise BadAnswer(f"101 without exactly one Upgrade: {protocol}")
    if b"upgrade" not in list_members(fields.get(b"connection", ())):
        raise BadAnswer("101 without Connection: upgrade")
    if protocol == _WEBSOCKET:
        key = head.values(b"sec-websocket-key")[0]
        if fields.get(b"sec-websocket-accept") != [generate_accept_token(key)]:
            raise BadAnswer("101 without the right Sec-WebSocket-Accept")


def serialize_101(answer: ResponseHead, edits: FieldEdits | None = None) -> bytes:
    """Write a verified 101 for the client: our own two fields, then the pod's end-to-end fields in order.

    A Content-Length, which some servers send with a 101, is dropped: no 101 has a body (RFC 9112 §6.3).

    Args:
        answer: an answer that `verify_upgrade` has accepted.
        edits: the route's; they name no field of the handshake.
    """
    fields = forwarded_headers(answer.headers, drop=_FRAMING)
    if edits is not None:
        fields = edits.apply(fields)
    own: list[Header] = [(b"Upgrade", answer.values(b"upgrade")[0]), (b"Connection", b"Upgrade")]
    return b"HTTP/1.1 101 %s\r\n" % answer.reason + serialize_fields(own + fields)
