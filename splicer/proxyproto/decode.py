"""The header at the beginning of a connection, of either version."""

from __future__ import annotations

from splicer.proxyproto import v1, v2
from splicer.proxyproto.header import Header, version

MOST = 16 + v2.LONGEST  # bytes of the longest header


def decode(data: bytes) -> tuple[Header, int] | None:
    """The header at the start of some bytes, and its size; None: they are a part of one, from its first byte on.

    The time is linear in the header's size, and that of bytes that are too few is constant.

    Raises:
        HeaderMissing: they begin no header.
        HeaderMalformed: the header is not as the specification has it.
        HeaderChecksum: its checksum is wrong.
        HeaderTooLong: it is too long.
    """
    match version(data):
        case 1:
            return v1.decode(data)
        case 2:
            return v2.decode(data)
        case _:
            return None
