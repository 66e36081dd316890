"""Listening sockets."""

from __future__ import annotations

import socket

from splicer.net.options import SOCKET_BUFFER, limit_buffers, set_tcp_options

_BACKLOG = 4096  # net.core.somaxconn caps it


def bind(host: str, port: int) -> socket.socket:
    """A non-blocking listening socket.

    Args:
        host: a numeric IPv4 or IPv6 address. "::" takes IPv6 only, so that "0.0.0.0" can stand beside it.
        port: 0 takes any free one.

    Raises:
        OSError: bind(2) or listen(2) failed, for example because the address is in use.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_tcp_options(sock)
        limit_buffers(sock, SOCKET_BUFFER)
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
