"""Connecting to a pod."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from splicer.errors import ConnectFailed, ConnectRefused, NoDescriptor
from splicer.model import Endpoint
from splicer.net.options import limit_buffers, set_tcp_options
from splicer.net.stream import TcpStream

Wait = Callable[[], Awaitable[None]]
InTime = Callable[[Wait], Awaitable[None]]
"""Awaits a connection under a deadline; after that it raises what the caller of `dial` expects.

What it awaits raises what `dial` raises if the connection fails.
"""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})


async def without_deadline(wait: Wait) -> None:
    """An `InTime` that awaits as long as it takes."""
    await wait()


async def dial(endpoint: Endpoint, buffer: int, in_time: InTime = without_deadline) -> TcpStream:
    """Connect.

    Args:
        endpoint: the address and port to connect to.
        buffer: bytes, see `limit_buffers`.
        in_time: awaits the connection if it isn't there at once, which needs no deadline; else the caller's cancel
            scope is the deadline.

    Raises:
        ConnectRefused: nothing listens there (ECONNREFUSED).
        ConnectFailed: unreachable, an address family that this machine lacks, or another errno of connect(2).
        NoDescriptor: this process or the machine has no free descriptor.
    """
    try:
        sock = socket.socket(
            socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        )
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise NoDescriptor(f"{error.strerror} for a connection to {endpoint}") from error
        raise ConnectFailed(f"{endpoint}: {error.strerror}") from error
    try:
        set_tcp_options(sock)
        limit_buffers(sock, buffer)
        address = (endpoint.address, endpoint.port)
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            code = sock.connect_ex(address)  # a connection to a pod on this node is established by now: no need to wait
        if code == errno.EISCONN:
            code = 0
        elif code == errno.EALREADY:
            await in_time(partial(_established, sock, endpoint))
            code = 0
    except BaseException:
        trio.lowlevel.notify_closing(sock)
        sock.close()
        raise
    if code:
        trio.lowlevel.notify_closing(sock)
        sock.close()
        raise _failure(endpoint, code)
    return TcpStream(sock, written=0)


async def _established(sock: socket.socket, endpoint: Endpoint) -> None:
    await trio.lowlevel.wait_writable(sock)
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise _failure(endpoint, code)


def _failure(endpoint: Endpoint, code: int) -> ConnectRefused | ConnectFailed:
    failure = ConnectRefused if code == errno.ECONNREFUSED else ConnectFailed
    return failure(f"{endpoint}: {os.strerror(code)}")
