"""Writing log lines without blocking: a reader that stops reading must never stop a call.

Lines go into a bounded queue, and a separate thread writes them, or the event loop (`loop_writer`). Lines that don't
fit are dropped and counted.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

_CAPACITY = 10_000  # lines
BATCH_WINDOW = 0.02  # seconds for which lines are collected: under load they are written many at a time
_MOST_WRITES = 64  # of the event loop in a row: frames wait meanwhile
NOWAIT = getattr(os, "RWF_NOWAIT", 0)  # 0: this C library has no pwritev2
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
        self._awake = False  # whether the queued lines will be written without another `_wake`
        self._wake: Callable[[], None] = self._wake_thread
        self._thread: threading.Thread | None = None
        self._event = threading.Event()
        self._closing = False
        self._others: list[LineWriter] = []

    def beside(self, fd: int) -> LineWriter:
        """A writer for another descriptor, which is closed with this one."""
        other = LineWriter(fd, self._capacity, self._lost)
        if self._wake != self._wake_thread:
            other._wake = self._wake
        self._others.append(other)
        return other

    def write(self, line: str) -> None:
        """Queue one line, without its newline."""
        if len(self._lines) >= self._capacity:
            self._drop(1)
            return
        self._lines.append(line.encode("utf-8", "replace")[: LONGEST - 1] + b"\n")
        if not self._awake:
            self._awake = True
            self._wake()

    def close(self, seconds: float = 1.0) -> None:
        """Write the queued lines, for at most `seconds`: the reader may have stopped reading."""
        for other in self._others:
            other.close(seconds)
        self._closing = True
        if self._thread is None and not self._lines:
            return
        self._wake_thread()
        thread = self._thread
        assert thread is not None  # noqa: S101 - it was started
        thread.join(seconds)
        if thread.is_alive():
            self._drop(len(self._lines))

    # ---- by a thread ----

    def _wake_thread(self) -> None:
        self._awake = True
        self._event.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    # Invariant: no error ends this thread, since nothing would start it again; the lines being written are dropped.
    def _run(self) -> None:
        closing = False
        while not closing:
            with suppress(BaseException):
                self._event.wait()
                if not self._closing:
                    time.sleep(BATCH_WINDOW)
                self._event.clear()
                self._awake = False
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
                time.sleep(BATCH_WINDOW)
            except BaseException:  # noqa: BLE001 - usually the reader has gone; see the invariant of `_run`
                self._drop(lines.count(b"\n"))
                return

    # ---- by the event loop: see `loop_writer` ----

    def enter_loop(self, wake: Callable[[], None]) -> None:
        """Call `wake` when there are lines, here or beside, for `write_now`.

        A writer that has begun with its thread goes on with it: two that take lines from one queue would mix them.
        """
        for writer in self._family():
            if writer._thread is None:
                writer._wake = wake

    def leave_loop(self) -> None:
        """Have the threads write again."""
        for writer in self._family():
            writer._leave_loop()

    def write_now(self) -> bool:
        """Write what the descriptors take without waiting.

        One that can't be written so has its thread again.

        Returns:
            False if lines are left: a descriptor is full, or there are many.
        """
        full = 0
        for writer in self._family():
            if writer._wake != writer._wake_thread:
                full += not writer._write_now()
        return not full

    def _family(self) -> list[LineWriter]:
        return [self, *self._others]

    def _leave_loop(self) -> None:
        self._wake = self._wake_thread
        if self._lines:
            self._wake_thread()

    # Invariant: no error leaves this function, since it would end a worker that has calls.
    def _write_now(self) -> bool:
        self._awake = False
        for _ in range(_MOST_WRITES):
            if not self._lines:
                return True
            lines = self._next()
            try:
                written = os.pwritev(self._fd, (lines,), -1, NOWAIT)
            except BlockingIOError:
                self._lines.appendleft(lines)
                self._awake = True
                return False
            except Exception:  # noqa: BLE001 - EOPNOTSUPP, usually; what the thread can't write either, it drops
                self._lines.appendleft(lines)
                self._leave_loop()
                return True
            if written < len(lines):
                self._lines.appendleft(lines[written:])
        self._awake = bool(self._lines)
        return not self._lines

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._lost(count)
