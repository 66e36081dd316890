"""TCP_INFO: round-trip time and retransmissions of a connection."""

from __future__ import annotations

import socket
import struct

from splicer.quality import Quality

_BYTES = 104
_FIELDS = struct.Struct("=68xI28xI")  # tcpi_rtt in µs and tcpi_total_retrans of struct tcp_info in <linux/tcp.h>


def quality(sock: socket.socket) -> Quality | None:
    """Read TCP_INFO (tcp(7)) of a connection; None if the socket is closed or not TCP."""
    try:
        rtt, retransmits = _FIELDS.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES))
    except (OSError, struct.error):
        return None
    return Quality(rtt / 1e6, retransmits)
