"""The echo of long messages: socket → pipe → socket by splice(2), so that pods never copy them."""

from __future__ import annotations

import fcntl
import os

_PIPE = 1 << 20
_F_SETPIPE_SZ = 1031  # <linux/fcntl.h>; the fcntl module has it on some builds only
_AT_ONCE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


# Bytes that were read and not yet written are in `rest`, then in the pipe; they are written in this order. On any
# event, both directions are tried until neither moves, so edge-triggered events are enough.
class Stream:
    """A call that is echoed.

    Args:
        fd: its socket, non-blocking; the caller closes it.
        rest: bytes that have been read already; they are sent first.
    """

    def __init__(self, fd: int, rest: bytes) -> None:
        self._fd = fd
        self._rest = rest
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self._in, _F_SETPIPE_SZ, _PIPE)
        self._held = 0
        self._ended = False

    def move(self) -> bool:
        """Echo as much as possible; False when the call has ended and all is sent.

        Raises:
            OSError: the call is lost.
        """
        moving = True
        while moving:
            moving = self._fill()
            moving = self._drain() or moving
        return not self._ended or bool(self._held or self._rest)

    def close(self) -> None:
        """Close the pipe, and drop its contents."""
        os.close(self._out)
        os.close(self._in)

    def _fill(self) -> bool:
        if self._ended:
            return False
        try:
            count = os.splice(self._fd, self._in, _PIPE, flags=_AT_ONCE)
        except BlockingIOError:
            return False
        self._ended = not count
        self._held += count
        return bool(count)

    def _drain(self) -> bool:
        try:
            if self._rest:
                count = os.write(self._fd, self._rest)
                self._rest = self._rest[count:]
            elif self._held:
                count = os.splice(self._out, self._fd, self._held, flags=_AT_ONCE)
                self._held -= count
            else:
                return False
        except BlockingIOError:
            return False
        return True
