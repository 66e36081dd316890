"""Listening sockets and the accept loop."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import trio

from splicer.net.stream import set_tcp_options

_BACKLOG = 4096  # net.core.somaxconn caps it
_BURST = 64  # accepts in a row before the loop yields: a storm must not starve what is already served
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BACK_OFF = 0.1  # seconds


def bind(host: str, port: int) -> socket.socket:
    """A non-blocking listening socket.

    Args:
        host: a numeric IPv4 or IPv6 address. "::" takes IPv6 only, so that "0.0.0.0" can stand beside it.
        port: 0 takes any free one.

    Raises:
        OSError: the address can't be had (bind(2)).
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_tcp_options(sock)
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


async def accept_forever(
    listener: socket.socket,
    handle: Callable[[socket.socket, str], None],
    exhausted: Callable[[OSError], None],
) -> None:
    """Accept until cancelled.

    Args:
        listener: from `bind`.
        handle: gets each connection, non-blocking, and the peer's numeric address; it must not block.
        exhausted: is told when descriptors or memory ran out; the loop then waits a little, for what is already
            served frees some in time.
    """
    while True:
        await trio.lowlevel.wait_readable(listener)
        for _ in range(_BURST):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    exhausted(error)
                    await trio.sleep(_BACK_OFF)
                    break
                continue  # the connection died in the queue (accept(2), "Error handling")
            sock.setblocking(False)
            handle(sock, address[0])
