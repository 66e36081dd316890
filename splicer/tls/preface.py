"""The preface: what a tls process says on the plain end before the first byte of the peer.

`TLS`, a version, a status, the length of what follows (two bytes, big-endian), and JSON: the facts of the connection,
or why there is none.
"""

from __future__ import annotations

import json
import struct

from splicer.ipc.codec import MalformedError, from_json, to_json
from splicer.tls_facts import TlsFacts, TlsFailure

LONGEST = 32 * 1024  # bytes of a preface: a certificate in PEM fits
_HEAD = struct.Struct("!3sBBH")
HEAD_BYTES = _HEAD.size
_MAGIC, _VERSION = b"TLS", 1
_OPEN, _FAILED = 1, 0


class NoPrefaceError(ValueError):
    """The bytes are no preface."""


def pack(value: TlsFacts | TlsFailure) -> bytes:
    """The bytes of a preface; a certificate that is too long for it is left out."""
    text = to_json(value).encode()
    if len(text) > LONGEST - HEAD_BYTES:
        raise ValueError(f"a preface of {len(text)} bytes")
    status = _OPEN if isinstance(value, TlsFacts) else _FAILED
    return _HEAD.pack(_MAGIC, _VERSION, status, len(text)) + text


def size_of(head: bytes) -> int:
    """The number of bytes that follow the first `HEAD_BYTES`.

    Raises:
        NoPrefaceError: these are not the first bytes of a preface of this version.
    """
    magic, version, status, size = _HEAD.unpack(head[:HEAD_BYTES])
    if magic != _MAGIC or version != _VERSION or status not in (_OPEN, _FAILED) or size > LONGEST:
        raise NoPrefaceError(f"no preface: {head[:HEAD_BYTES]!r}")
    return int(size)


def unpack(data: bytes) -> TlsFacts | TlsFailure:
    """The value of a whole preface.

    Raises:
        NoPrefaceError: it is none.
    """
    size_of(data)
    try:
        text = data[HEAD_BYTES:]
        return from_json(TlsFacts, text) if data[4] == _OPEN else from_json(TlsFailure, text)
    except (MalformedError, json.JSONDecodeError) as error:
        raise NoPrefaceError(str(error)) from None
