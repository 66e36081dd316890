"""Writing log lines without blocking: a reader that stops reading must never stop a call.

Lines go into a bounded queue, and a separate thread writes them. Lines that don't fit are dropped and counted.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

_CAPACITY = 10_000  # lines
_BATCH_WINDOW = 0.02  # seconds for which lines are collected: under load the thread wakes once for many lines
LONGEST = 4096  # bytes with the newline: PIPE_BUF, so that lines of several processes are never mixed (pipe(7))


class LineWriter:
    """Writes lines to a descriptor without ever blocking its caller.

    Args:
        fd: the descriptor; it stays open.
        capacity: the most lines that may wait.
        lost: called with the number of dropped lines, from any thread.
    """

    def __init__(self, fd: int, capacity: int = _CAPACITY, lost: Callable[[int], None] = lambda _: None) -> None:
        self._lost = lost
        self.dropped = 0
        self._fd = fd
        self._capacity = capacity
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._others: list[LineWriter] = []
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def beside(self, fd: int) -> LineWriter:
        """A writer for another descriptor, which is closed with this one."""
        self._others.append(LineWriter(fd, self._capacity, self._lost))
        return self._others[-1]

    def write(self, line: str) -> None:
        """Queue one line, without its newline."""
        if len(self._lines) >= self._capacity:
            self._drop(1)
            return
        self._lines.append(line.encode("utf-8", "replace")[: LONGEST - 1] + b"\n")
        if not self._wake.is_set():
            self._wake.set()

    def close(self, seconds: float = 1.0) -> None:
        """Write the queued lines, for at most `seconds`: the reader may have stopped reading."""
        for other in self._others:
            other.close(seconds)
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._drop(len(self._lines))

    # Invariant: no error ends this thread, since nothing would start it again; the lines being written are dropped.
    def _run(self) -> None:
        closing = False
        while not closing:
            with suppress(BaseException):
                self._wake.wait()
                if not self._closing:
                    time.sleep(_BATCH_WINDOW)
                self._wake.clear()
                closing = self._closing  # read before the queue: lines queued before `close` are still written
                while self._lines:
                    with suppress(BaseException):
                        self._write(self._next())

    # Each write releases the GIL, and this thread must then get it back from the calls' thread: so writes are few and
    # as large as possible.
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
            except BlockingIOError:  # another process has made the descriptor non-blocking
                time.sleep(_BATCH_WINDOW)
            except BaseException:  # noqa: BLE001 - usually the reader has gone; see the invariant of `_run`
                self._drop(lines.count(b"\n"))
                return

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._lost(count)
