"""Signals that ask a run to end: once, for all that it has started has to be ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT  # the exit code


# Once: all that was started has to be ended, and nobody's impatience may prevent that.
@contextmanager
def interruptible() -> Iterator[None]:
    """SIGHUP (but for nohup's sake), SIGINT and SIGTERM raise KeyboardInterrupt."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for further in numbers:
            signal.signal(further, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
