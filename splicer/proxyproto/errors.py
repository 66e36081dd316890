"""Why a connection was closed whose peer must begin it with a PROXY header. The peer gets no answer."""

from __future__ import annotations

from splicer.errors import ClientError


class ProxyProtocolError(ClientError):
    """The connection does not begin with a valid header."""


class HeaderMissing(ProxyProtocolError):
    """Its first bytes begin no header."""

    reason = "proxy_protocol_missing"


class HeaderMalformed(ProxyProtocolError):
    """A header has begun, and breaks the specification or off."""

    reason = "proxy_protocol_malformed"


class HeaderChecksum(ProxyProtocolError):
    """The header's CRC32C is not that of its bytes."""

    reason = "proxy_protocol_checksum"


class HeaderTooLong(ProxyProtocolError):
    """A line of more than 107 bytes, or more than 8 KiB behind the fixed part of version 2."""

    reason = "proxy_protocol_too_long"


ERRORS = (HeaderMissing, HeaderMalformed, HeaderChecksum, HeaderTooLong)
