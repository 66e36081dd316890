"""Reading a routing.toml in a short-lived child process."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from splicer.ipc.facts import ConfigSummary, Faults, Reading
from splicer.ipc.wire import answered, text_file
from splicer.supervisor.launch import Unanswered, execute

_TIMEOUT = 120.0  # seconds for an answer: a preflight starts a worker, on a machine that may be busy
_DEATH_TIMEOUT = 0.2  # seconds for a killed child to die; if it takes longer, it is reaped later with all others
_POLL_INTERVAL = 0.002  # seconds between two looks whether it has

Then = Callable[[ConfigSummary | Faults], None]


class Start(Protocol):
    """Starts a child; see `launch.execute`."""

    def __call__(self, module: str, words: Sequence[str], fds: Mapping[int, int], *, group: bool = False) -> int:
        """Return its pid."""
        ...


class _Child(NamedTuple):
    pid: int
    stdout: int


class ConfigProbe:
    """One child at a time; a newer question replaces an older one.

    Args:
        selector: where the answer is awaited.
        start: starts the child.
    """

    def __init__(self, selector: selectors.BaseSelector, start: Start = execute) -> None:
        self._selector = selector
        self._start = start
        self._child: _Child | None = None
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
        fds: dict[int, int] = {}
        words = [str(path)]
        try:
            fds[0] = os.open(os.devnull, os.O_RDONLY)
            if text is not None:
                file = text_file(text)
                fds[file] = file
                words += ["--text", str(file)]
            try:
                child = self._begin(module, words, fds)
            except Unanswered:
                child = self._begin(module, words, fds)  # the output of the first one, if it is there, goes nowhere
        finally:
            for fd in fds.values():
                os.close(fd)
        self._child = child
        self._answer, self._late = b"", time.monotonic() + _TIMEOUT
        self._give_up = partial(self._fail, path, then)
        self._selector.register(child.stdout, selectors.EVENT_READ, partial(self._read, child, path, then))

    def _begin(self, module: str, words: Sequence[str], fds: Mapping[int, int]) -> _Child:
        read_fd, write_fd = os.pipe()
        try:
            return _Child(self._start(module, words, {**fds, 1: write_fd}, group=True), read_fd)
        except BaseException:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)

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

    # A child may have been replaced earlier in the same batch of events. Its descriptor is closed by then.
    def _read(self, child: _Child, path: Path, then: Then, _: int) -> None:
        if child is not self._child:
            return
        part = os.read(child.stdout, 1 << 16)
        self._answer += part
        if part:
            return
        self._end(child)
        then(understood(self._answer, path))

    def _end(self, child: _Child) -> None:
        self._child = None
        self._selector.unregister(child.stdout)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # kills also the processes that it has started
        os.close(child.stdout)
        late = time.monotonic() + _DEATH_TIMEOUT
        with suppress(ChildProcessError):  # it has been reaped with all others
            while os.waitpid(child.pid, os.WNOHANG)[0] == 0 and time.monotonic() < late:
                time.sleep(_POLL_INTERVAL)


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
