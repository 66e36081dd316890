"""The refusal of HTTP/2."""

from __future__ import annotations

from splicer.errors import ClientError


class Http2NotSpoken(ClientError):
    """A client of HTTP/2 with prior knowledge, such as gRPC's, sends its preface (RFC 9113 §3.4, RFC 9110 §15.6.6)."""

    status = 505
    reason = "http2_not_spoken"
