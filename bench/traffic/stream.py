"""The echo of much: socket → pipe → socket by splice(2), so that long messages are never copied by the pods."""

from __future__ import annotations

import fcntl
import os

_PIPE = 1 << 20
_F_SETPIPE_SZ = 1031  # <linux/fcntl.h>; the fcntl module has it on some builds only
_AT_ONCE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


# What was read and not yet written is in `rest`, then in the pipe: in this order it leaves. An event of either kind
# says only "try": both directions are tried until neither moves, so edge-triggered events suffice.
class Stream:
    """One echoing call.

    Args:
        fd: its socket, non-blocking; remains the caller's.
        rest: bytes read already, which go first.
    """

    def __init__(self, fd: int, rest: bytes) -> None:
        self._fd = fd
        self._rest = rest
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self._in, _F_SETPIPE_SZ, _PIPE)
        self._held = 0
        self._ended = False

    def move(self) -> bool:
        """Echo what can be echoed; False when all is done.

        Raises:
            OSError: the call is lost.
        """
        moving = True
        while moving:
            moving = self._fill()
            moving = self._drain() or moving
        return not self._ended or bool(self._held or self._rest)

    def close(self) -> None:
        """Give up the pipe, and what is in it."""
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
