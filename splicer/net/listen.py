"""The accept loop."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import trio

_BURST = 64  # accepts in a row before the loop yields: a storm must not starve what is already served
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BACK_OFF = 0.1  # seconds


async def accept_forever(
    listener: socket.socket,
    handle: Callable[[socket.socket, str], None],
    exhausted: Callable[[OSError], None],
) -> None:
    """Accept until cancelled.

    Args:
        listener: from `net.bind`.
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
