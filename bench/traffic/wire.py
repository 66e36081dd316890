"""What clients and pods say to each other: heads, the key of a handshake, frames."""

from __future__ import annotations

import base64
import hashlib
import struct

HEAD_END = b"\r\n\r\n"
LEAST_FRAME = 24  # the longest head, and the number
BODY = b'{"pod":"voice-agent-2","url":"wss://bench.test/ws/pod/voice-agent-2/call","expires_in":30,' + (
    b'"call":{"sid":"CA0123456789abcdef0123456789abcdef","from":"+15550100","to":"+15550199","status":"ringing"}}'
)

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: Twilio.TmeWs/1.0\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
    b"X-Twilio-Signature: 0123456789abcdef\r\n\r\n"
)
# RFC 6455 §5.2: a length has three forms.
_LENGTHS = (("!BBI", None, 125), ("!BBHI", 126, 0xFFFF), ("!BBQI", 127, (1 << 63) - 1))
_GET = b"GET %s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n\r\n"


def accept_key(key: bytes) -> bytes:
    """The answer to a ``Sec-WebSocket-Key`` (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def upgrade_head(target: str, key: bytes) -> bytes:
    """A handshake as a phone provider sends it."""
    return _UPGRADE % (target.encode("ascii"), key)


def get_head(target: str) -> bytes:
    """A plain request."""
    return _GET % target.encode("ascii")


def fault_of_101(head: bytes, accept: bytes) -> str:
    """What is wrong with an answer to a handshake; "" if nothing is.

    Args:
        head: the whole head, with the empty line.
        accept: what its ``Sec-WebSocket-Accept`` must be (RFC 6455 §4.1).
    """
    if not head.startswith(b"HTTP/1.1 101 "):
        return f"no 101, but {head[:64].split(HEAD_END[:2])[0].decode('latin-1')!r}"
    fields = {}
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    if fields.get(b"upgrade", b"").lower() != b"websocket":
        return "a 101 without Upgrade: websocket"
    if b"upgrade" not in fields.get(b"connection", b"").lower():
        return "a 101 without Connection: upgrade"
    if fields.get(b"sec-websocket-accept") != accept:
        return "a 101 with a wrong Sec-WebSocket-Accept"
    return ""


# A frame is its start, its number in 8 bytes (big-endian), and its rest: what differs from frame to frame is made by
# one to_bytes and two concatenations.
def frame_parts(size: int) -> tuple[bytes, bytes]:
    """Start and rest of a binary frame from a client, masked with zeros: an echo is the same bytes.

    Args:
        size: of the whole frame on the wire, `LEAST_FRAME` bytes or more (RFC 6455 §5.2).
    """
    form, second, _ = next(one for one in _LENGTHS if size - struct.calcsize(one[0]) <= one[2])
    length = size - struct.calcsize(form)
    lengths = (0x80 | length,) if second is None else (0x80 | second, length)
    head = struct.pack(form, 0x82, *lengths, 0)
    return head, (bytes(range(1, 252)) * (length // 251 + 1))[: length - 8]
