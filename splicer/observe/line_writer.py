"""Log lines on their way out. A reader that stops reading must never stop a call.

Lines go into a bounded queue, and a thread of its own writes them. What doesn't fit is dropped and counted.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

_CAPACITY = 10_000  # lines
_BATCH_WINDOW = 0.02  # seconds: under load the thread wakes once for many lines
LONGEST = 4096  # bytes with the newline: PIPE_BUF, so that the lines of several processes never mix (pipe(7))


class LineWriter:
    """Writes lines to a descriptor without ever blocking its caller.

    Args:
        fd: the descriptor; it stays open.
        capacity: how many lines may wait.
        lost: is told how many lines are dropped, in whatever thread.
    """

    def __init__(self, fd: int, capacity: int = _CAPACITY, lost: Callable[[int], None] = lambda _: None) -> None:
        self._lost = lost
        self.dropped = 0
        self._fd = fd
        self._capacity = capacity
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue one line, without its newline."""
        if len(self._lines) >= self._capacity:
            self._drop(1)
            return
        self._lines.append(line.encode("utf-8", "replace")[: LONGEST - 1] + b"\n")
        if not self._wake.is_set():
            self._wake.set()

    def close(self, seconds: float = 1.0) -> None:
        """Write what is queued, for at most `seconds`: the reader may have stopped."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._drop(len(self._lines))

    # Nobody would start this thread again: what goes wrong, whatever it is, costs the lines in hand.
    def _run(self) -> None:
        closing = False
        while not closing:
            with suppress(BaseException):
                self._wake.wait()
                if not self._closing:
                    time.sleep(_BATCH_WINDOW)
                self._wake.clear()
                closing = self._closing  # what is queued from now on belongs to nobody; what was before is written
                while self._lines:
                    with suppress(BaseException):
                        self._write(self._next())

    # Each write lets go of the interpreter, and the calls' thread must be asked for it again: few and full ones.
    def _next(self) -> bytes:
        lines = [self._lines.popleft()]
        size = len(lines[0])
        while self._lines and (size := size + len(self._lines[0])) <= LONGEST:
            lines.append(self._lines.popleft())
        return b"".join(lines)

    def _write(self, lines: bytes) -> None:
        while lines:
            try:
                lines = lines[os.write(self._fd, lines) :]
            except BlockingIOError:  # somebody made the descriptor non-blocking
                time.sleep(_BATCH_WINDOW)
            except BaseException:  # noqa: BLE001 - nobody reads any more, as a rule; see `_run`
                self._drop(lines.count(b"\n"))
                return

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._lost(count)
