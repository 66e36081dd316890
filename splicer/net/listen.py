"""The accept loop."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import trio

_BURST = 64  # accepts in a row before the loop yields: a storm must not starve what is already served
_LEFT = 0.005  # seconds that others have for connections that are left to them
_UNTAKEN = 16  # accepts in a row of those that nobody has taken
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BACKOFF_SECONDS = 0.1  # seconds
_FREED = 0.001  # seconds, for tasks that are about to close something


async def accept_forever(
    listener: socket.socket,
    handle: Callable[[socket.socket, str], None],
    exhausted: Callable[[OSError], object],
    has_enough: Callable[[], bool] = lambda: False,
    burst: int = _BURST,
) -> None:
    """Accept until cancelled.

    Linux wakes all who wait for a listening socket that they share, and who runs first would take all that is there. So
    who has enough leaves a connection in the queue for a moment. It takes it when nobody else has: others may be
    stopped, or about to die.

    Args:
        listener: from `net.bind`.
        handle: gets each connection, non-blocking, and the peer's numeric address; it must not block.
        exhausted: is told when descriptors or memory ran out, and says whether it has freed some; if not, the loop
            waits a little, for what is already served frees some in time.
        has_enough: whether connections should rather go to other processes that accept from the same socket.
        burst: how many are accepted before other tasks have their turn.
    """
    while True:
        await trio.lowlevel.wait_readable(listener)
        leave = has_enough()
        if leave:
            await trio.sleep(_LEFT)
        for taken in range(_UNTAKEN if leave else burst):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    if not taken:  # else nobody may be there any more: a descriptor is looked for first
                        await trio.sleep(_FREED if exhausted(error) else _BACKOFF_SECONDS)
                    break
                continue  # the connection died in the queue (accept(2), "Error handling")
            sock.setblocking(False)
            handle(sock, address[0])
            if not leave and has_enough():
                break
