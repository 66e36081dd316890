"""The bytes between clients and pods: heads, handshake keys, frames."""

from __future__ import annotations

import base64
import hashlib
import struct

HEAD_END = b"\r\n\r\n"
LEAST_FRAME = 24  # the longest frame head, and the number
BODY = b'{"pod":"voice-agent-2","url":"wss://bench.test/ws/pod/voice-agent-2/call","expires_in":30,' + (
    b'"call":{"sid":"CA0123456789abcdef0123456789abcdef","from":"+15550100","to":"+15550199","status":"ringing"}}'
)

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: Twilio.TmeWs/1.0\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
    b"X-Twilio-Signature: 0123456789abcdef\r\n\r\n"
)
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)
# RFC 6455 §5.2: a length has three forms.
_LENGTHS = (("!BB", None, 125), ("!BBH", 126, 0xFFFF), ("!BBQ", 127, (1 << 63) - 1))
_MASK = bytes(4)  # a mask of zeros leaves the bytes unchanged
_GET = b"GET %s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n\r\n"


def accept_key(key: bytes) -> bytes:
    """The ``Sec-WebSocket-Accept`` for a ``Sec-WebSocket-Key`` (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def upgrade_head(target: str, key: bytes) -> bytes:
    """A handshake as a phone provider sends it."""
    return _UPGRADE % (target.encode("ascii"), key)


def get_head(target: str) -> bytes:
    """A plain request."""
    return _GET % target.encode("ascii")


def switching(key: bytes) -> bytes:
    """A pod's response to a handshake with this key."""
    return _SWITCHING % accept_key(key)


def field(head: bytes, name: bytes) -> bytes:
    """The value of a field; b"" if it is missing.

    Args:
        head: of a message.
        name: of the field, in lower case.
    """
    start = head.lower().find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    value = head[start + len(name) + 3 :]
    return value.partition(b"\r\n")[0].strip()


def fault_of_101(head: bytes, accept: bytes) -> str:
    """The fault in the response to a handshake; "" if there is none.

    Args:
        head: the whole head, including the empty line.
        accept: the required value of its ``Sec-WebSocket-Accept`` (RFC 6455 §4.1).
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


# A frame is its start, its number in 8 bytes (big-endian), and its rest: only the number differs, so a frame takes one
# to_bytes and two concatenations.
def frame_parts(size: int) -> tuple[bytes, bytes]:
    """The start and the rest of a client's binary frame, masked with zeros, so that its echo has the same bytes.

    Args:
        size: of the whole frame on the wire, `LEAST_FRAME` bytes or more (RFC 6455 §5.2).
    """
    head = frame_start(size, masked=True)
    return head, (bytes(range(1, 252)) * (size // 251 + 1))[: size - len(head) - 8]


def frame_start(size: int, *, masked: bool) -> bytes:
    """The head of a binary frame.

    Args:
        size: of the whole frame on the wire (RFC 6455 §5.2).
        masked: it is a client's frame, masked with zeros.
    """
    mask = _MASK if masked else b""
    sizes = ((form, second, most, size - struct.calcsize(form) - len(mask)) for form, second, most in _LENGTHS)
    form, second, length = next((form, second, length) for form, second, most, length in sizes if length <= most)
    bit = 0x80 if masked else 0
    return struct.pack(form, 0x82, *((bit | length,) if second is None else (bit | second, length))) + mask
