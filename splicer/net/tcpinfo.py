"""What TCP knows of the line to a peer."""

from __future__ import annotations

import socket
import struct

from splicer.model import Quality

_BYTES = 104
_FACTS = struct.Struct("=68xI28xI")  # tcpi_rtt in µs and tcpi_total_retrans of struct tcp_info in <linux/tcp.h>


def quality(sock: socket.socket) -> Quality | None:
    """Ask the kernel about a connection (TCP_INFO, tcp(7)); None if it is closed, or none of TCP's."""
    try:
        rtt, retransmits = _FACTS.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES))
    except (OSError, struct.error):
        return None
    return Quality(rtt / 1e6, retransmits)
