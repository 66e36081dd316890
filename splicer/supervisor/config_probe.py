"""Reading a routing.toml in a short-lived child process."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from splicer.ipc.facts import ConfigSummary, Faults, Reading
from splicer.ipc.wire import answered, text_file
from splicer.supervisor.launch import command

_TIMEOUT = 120.0  # seconds for an answer: a preflight starts a worker, on a machine that may be busy
_DEATH_TIMEOUT = 0.2  # seconds for a killed child to die; if it takes longer, it is reaped later with all others

Then = Callable[[ConfigSummary | Faults], None]


class ConfigProbe:
    """One child at a time; a newer question replaces an older one.

    Args:
        selector: where the answer is awaited.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._child: subprocess.Popen[bytes] | None = None
        self._answer = b""
        self._late = 0.0  # when the answer must have come, on the monotonic clock
        self._give_up: Callable[[], None] = self.close

    @property
    def underway(self) -> bool:
        """Whether a child is running."""
        return self._child is not None

    def ask(self, module: str, path: Path, then: Then, *, text: str | None = None) -> None:
        """Start a child, and return at once.

        Args:
            module: what it runs; it prints one message (`wire.answer`).
            path: its argument.
            then: gets what it says.
            text: it gets as ``--text FD``.

        Raises:
            OSError: no process can be had.
        """
        self.close()
        arguments, fds = [str(path)], []
        if text is not None:
            fds = [text_file(text)]
            arguments += ["--text", str(fds[0])]
        try:
            child = self._child = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                command(module, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=fds,
                process_group=0,  # the terminal's Ctrl-C is for the supervisor
            )
        finally:
            for fd in fds:
                os.close(fd)
        assert child.stdout is not None  # noqa: S101 - it was asked for
        self._answer, self._late = b"", time.monotonic() + _TIMEOUT
        self._give_up = partial(self._fail, path, then)
        self._selector.register(child.stdout, selectors.EVENT_READ, partial(self._read, child, path, then))

    def close(self) -> None:
        """Kill a child that is still running."""
        if self._child is not None:
            self._end(self._child)

    def expire(self) -> None:
        """Give up a child that takes too long; call this regularly."""
        if self._child is not None and time.monotonic() > self._late:
            self._end(self._child)
            self._give_up()

    def _fail(self, path: Path, then: Then) -> None:
        then(Faults((f"{path}: the process that reads it has not answered in {_TIMEOUT:g} s",)))

    def _read(self, child: subprocess.Popen[bytes], path: Path, then: Then, _: int) -> None:
        assert child.stdout is not None  # noqa: S101
        part = os.read(child.stdout.fileno(), 1 << 16)
        self._answer += part
        if part:
            return
        self._end(child)
        then(understood(self._answer, path))

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None  # noqa: S101
        self._selector.unregister(child.stdout)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # kills also the processes that it has started
        child.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_DEATH_TIMEOUT)
        self._child = None


def understood(answer: bytes, path: Path) -> ConfigSummary | Faults:
    """The child's output, or a fault if it has failed."""
    try:
        found = answered(Reading, answer)
    except ValueError:
        found = None
    match found:
        case ConfigSummary() | Faults():
            return found
    return Faults((f"{path}: the process that reads it has failed",))
