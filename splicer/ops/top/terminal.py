"""The terminal while the screen is on: single keys, signals as news, and everything put back in the end."""

from __future__ import annotations

import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """The signal that has come, if one has."""

    def __init__(self) -> None:
        self.ended_by: signal.Signals | None = None

    def take(self, signum: int, _: FrameType | None) -> None:
        """The handler of the signals that end."""
        self.ended_by = self.ended_by or signal.Signals(signum)


# A signal is a note and wakes the loop by a byte; an exception out of a handler could come while the terminal is put
# back. A resized terminal is noticed the same way: a handler must be there for the byte to be written.
@contextmanager
def signals_wake(fd: int) -> Iterator[Signals]:
    """Within the block, signals write a byte and end nothing.

    Args:
        fd: a nonblocking descriptor.
    """
    signals = Signals()
    handlers = {each: signal.signal(each, signals.take) for each in _ENDING}
    handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: None)
    woken = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(woken)
        for signum, handler in handlers.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)


# Ctrl-C still is a signal. Ctrl-Z would leave the shell with the screen as it is now, and Ctrl-S would stop the output
# that puts it back: both are keys like any other. At the end nothing is waited for, and what was typed is dropped.
@contextmanager
def single_keys(fd: int) -> Iterator[None]:
    """Within the block, the terminal gives each key at once and does not show it (termios(3), cbreak)."""
    before = termios.tcgetattr(fd)
    mode = termios.tcgetattr(fd)
    mode[0] &= ~termios.IXON
    mode[3] &= ~(termios.ECHO | termios.ICANON)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    mode[6][termios.VSUSP] = b"\0"  # _POSIX_VDISABLE of Linux
    try:
        termios.tcsetattr(fd, termios.TCSANOW, mode)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)
        termios.tcflush(fd, termios.TCIFLUSH)
