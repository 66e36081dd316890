"""The accept loop."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import trio

_BURST = 64  # accepts in a row before the loop yields: a connection storm must not starve the calls being served
_DEFER_SECONDS = 0.005  # seconds for which a connection is left to other processes
_DEFERRED_BURST = 16  # accepts in a row of connections that no other process has taken
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BACKOFF_SECONDS = 0.1  # seconds before the next accept when nothing could be freed
_CLOSE_DELAY = 0.001  # seconds for the tasks that are about to close a descriptor


class ListeningSocket(socket.socket):
    """A listening socket that knows its family and its type: `accept` would ask for both each time, in ten calls.

    Args:
        fd: its descriptor, which is owned from now on.
    """

    __slots__ = ("family", "type")

    family: socket.AddressFamily
    type: socket.SocketKind

    def __init__(self, fd: int) -> None:
        super().__init__(fileno=fd)
        self.family, self.type = super().family, super().type


async def accept_forever(
    listener: socket.socket,
    handle: Callable[[socket.socket, str], None],
    exhausted: Callable[[OSError], object],
    has_enough: Callable[[], bool] = lambda: False,
    burst: int = _BURST,
) -> None:
    """Accept until cancelled, or the listener is closed.

    Linux wakes all processes that wait for a shared listening socket, and the first one to run would take all pending
    connections. So a process that has enough leaves a connection in the queue for `_DEFER_SECONDS`, and accepts it
    only if no other process has: the others may be stopped or about to die.

    Args:
        listener: from `net.bind`.
        handle: gets each connection as a non-blocking socket, and the peer's numeric address; it must not block.
        exhausted: called when descriptors or memory ran out; returns whether it has freed some. If not, the loop waits
            a little until the connections being served free some.
        has_enough: whether connections should rather go to other processes that accept from the same socket.
        burst: connections accepted before other tasks run.
    """
    while listener.fileno() >= 0:
        await trio.lowlevel.wait_readable(listener)
        leave = has_enough()
        if leave:
            await trio.sleep(_DEFER_SECONDS)
        for taken in range(_DEFERRED_BURST if leave else burst):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    # Linux looks for a descriptor before it looks at the queue: after the first accept, the error may
                    # mean that the queue is empty.
                    if not taken:
                        await trio.sleep(_CLOSE_DELAY if exhausted(error) else _BACKOFF_SECONDS)
                    break
                continue  # the connection died in the queue (accept(2), "Error handling")
            sock.setblocking(False)
            handle(sock, address[0])
            if not leave and has_enough():
                break
