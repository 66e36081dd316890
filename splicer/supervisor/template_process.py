"""The supervisor's part for the template, from which processes are forked. While there is none, they are executed."""

from __future__ import annotations

import errno
import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from splicer.ipc import wire
from splicer.ipc.arguments import StartedTemplate
from splicer.ipc.codec import to_json
from splicer.ipc.forking import Fork, Forked, Loaded, TemplateReport
from splicer.observe.plain_log import PlainLog
from splicer.supervisor import launch
from splicer.supervisor.launch import Unanswered
from splicer.supervisor.process_table import Backoff
from splicer.supervisor.processes import reason
from splicer.supervisor.subreaper import become_subreaper

_MAX_START_INTERVAL = 30.0  # seconds, at most, between two attempts to start it
_FIRST_LOAD_TIMEOUT = 10.0  # seconds for which the first processes wait for it: executed ones would import the same
_FORK_TIMEOUT = 0.5  # seconds for a fork, during which the vault waits too


class TemplateProcess:
    """Keeps a template alive, and has it fork.

    Args:
        selector: where its channel is watched.
        log: the log.
    """

    def __init__(self, selector: selectors.BaseSelector, log: PlainLog) -> None:
        self._selector = selector
        self._log = log
        self._pid: int | None = None
        self._sock: socket.socket | None = None
        self._loaded = False
        self._wanted = False
        self._patience = 0.0  # until when the first processes wait, on the monotonic clock
        self._backoff = Backoff()
        self._forks = 0

    @property
    def awaited(self) -> bool:
        """Whether the first template is about to be ready, so that starting another process should wait for it."""
        return self._sock is not None and not self._loaded and time.monotonic() < self._patience

    def begin(self, started: StartedTemplate | None = None) -> None:
        """Have a template from now on; call `reconcile` regularly.

        Args:
            started: one that loads already.
        """
        if started is not None:
            self._take(started)
        try:
            become_subreaper()
        except OSError as error:
            self._log("template_off", level="warning", reason=f"PR_SET_CHILD_SUBREAPER: {error.strerror}")
            self.close()
            return
        self._wanted = True
        self.reconcile()
        self._patience = time.monotonic() + _FIRST_LOAD_TIMEOUT

    def reconcile(self) -> None:
        """Start a template if it is missing."""
        if self._wanted and self._pid is None and self._backoff.is_over(_MAX_START_INTERVAL):
            self._start()

    def end(self) -> None:
        """Have no template any more."""
        self._wanted = False
        self.close()

    def close(self) -> None:
        """End the template; `reconcile` starts another, with the code that is on disk then."""
        pid, self._pid = self._pid, None
        self._drop()
        _kill(pid)

    def spawn(self, module: str, arguments: object, fds: Sequence[int]) -> int:
        """Start a process; see `launch.spawn`."""
        if not self._can(module):
            return launch.spawn(module, arguments, fds)
        return self.start(module, [to_json(arguments)], {fd: fd for fd in fds})

    def start(self, module: str, words: Sequence[str], fds: Mapping[int, int], *, group: bool = False) -> int:
        """Start a process; see `launch.execute`.

        Raises:
            Unanswered: the template has ended or is stuck, and perhaps a process was forked; the next one is executed.
            OSError: the process could not be started.
        """
        sock = self._sock
        if sock is None or not self._can(module):
            return launch.execute(module, words, fds, group=group)
        self._forks += 1
        order = Fork(self._forks, module, tuple(words), tuple(fds), group)
        try:
            wire.send(sock, order, tuple(fds.values()))
        except OSError:  # it has ended, and nothing was forked
            self._lose()
            return launch.execute(module, words, fds, group=group)
        answer = self._answer(sock)
        if answer.error:
            raise OSError(answer.error, os.strerror(answer.error))
        launch.take_first(answer.pid)
        return answer.pid

    def died(self, pid: int, status: int) -> None:
        """Handle the end of a child, which may be another one than the template."""
        if pid != self._pid:
            return
        self._pid = None
        if not self._loaded:
            self._backoff.failed()
        self._drop()
        self._log("template_died", level="warning", pid=pid, reason=reason(status))

    def _can(self, module: str) -> bool:
        return self._loaded and module in launch.FORKED

    def _start(self) -> None:
        try:
            self._take(launch.start_template())
        except OSError as error:
            self._backoff.failed()
            self._log("process_not_started", level="error", module=launch.TEMPLATE, error=error.strerror)

    def _take(self, started: StartedTemplate) -> None:
        self._pid = started.pid
        sock = self._sock = socket.socket(fileno=started.control)
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, lambda _: self._hear(sock))

    # Outside a fork it says only that it has loaded; its end is noticed here, and handled when it is reaped.
    def _hear(self, sock: socket.socket) -> None:
        if sock is not self._sock:
            return
        try:
            heard = wire.receive(sock, TemplateReport)
        except BlockingIOError:
            return
        except (ValueError, OSError):
            heard = None
        if heard is None:
            self._lose()
        elif isinstance(heard.message, Loaded):
            self._loaded = True
            self._backoff.reset()

    # The answer is awaited here: so a process is known before its end can be noticed.
    def _answer(self, sock: socket.socket) -> Forked:
        heard = None
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        with suppress(ValueError, OSError):
            if poll.poll(_FORK_TIMEOUT * 1000):
                heard = wire.receive(sock, TemplateReport)
        if heard is None or not isinstance(heard.message, Forked):
            self._lose()
            raise Unanswered(errno.ESRCH, "the template has ended, or does not answer")
        return heard.message

    # It is of no use without its channel; `died` follows.
    def _lose(self) -> None:
        self._drop()
        _kill(self._pid)

    def _drop(self) -> None:
        self._loaded = False
        sock, self._sock = self._sock, None
        if sock is not None:
            self._selector.unregister(sock)
            sock.close()


def _kill(pid: int | None) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
