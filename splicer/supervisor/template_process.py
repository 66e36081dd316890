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
from pathlib import Path

from splicer.ipc import wire
from splicer.ipc.arguments import StartedTemplate
from splicer.ipc.codec import to_json
from splicer.ipc.forking import Fork, Forked, Loaded, Parse, Parsed, TemplateReport
from splicer.ipc.wire import text_file
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
        self._requests = 0
        self._parsing = 0  # the number of the request that it works at; 0: none
        self._config: tuple[str, str | None] | None = None  # the file, and the text in force, once it is known

    @property
    def awaited(self) -> bool:
        """Whether the first template is about to be ready, so that starting another process should wait for it."""
        return self._sock is not None and not self._is_free and time.monotonic() < self._patience

    def begin(self, started: StartedTemplate | None = None, path: Path | None = None) -> None:
        """Have a template from now on; call `reconcile` regularly.

        Args:
            started: one that loads already.
            path: the configuration's file, which it parses first of all.
        """
        if path is not None:
            self._config = str(path), None
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

    @property
    def is_missing(self) -> bool:
        """Whether one is to be started."""
        return self._wanted and self._pid is None

    def reconcile(self) -> None:
        """Start a template if it is missing."""
        if self.is_missing and self._backoff.is_over(_MAX_START_INTERVAL):
            self._start()

    def parse(self, path: Path, text: str) -> None:
        """Have those that are forked from now on inherit a configuration; meanwhile processes are executed.

        Args:
            path: the configuration's file.
            text: its text, which has been accepted.
        """
        self._config = str(path), text
        if self._sock is not None:
            self._order_parsing(self._sock)

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
        order = Fork(self._next(), module, tuple(words), tuple(fds), group)
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
        return self._is_free and module in launch.FORKED

    @property
    def _is_free(self) -> bool:
        return self._loaded and not self._parsing

    def _next(self) -> int:
        self._requests += 1
        return self._requests

    def _order_parsing(self, sock: socket.socket) -> None:
        if self._config is None:
            return
        path, text = self._config
        fds = () if text is None else (text_file(text),)
        self._parsing = self._next()
        try:
            wire.send(sock, Parse(self._parsing, path), fds)
        except OSError:
            self._lose()
        finally:
            for fd in fds:
                os.close(fd)

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
        self._order_parsing(sock)

    # Outside a fork it says that it has loaded or parsed; its end is noticed here, and handled when it is reaped.
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
        elif isinstance(heard.message, Parsed) and heard.message.request == self._parsing:
            self._parsing = 0

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
        if self._parsing:  # perhaps it died of it: the next one isn't told to parse that
            self._config = None
        self._loaded = False
        self._parsing = 0
        sock, self._sock = self._sock, None
        if sock is not None:
            self._selector.unregister(sock)
            sock.close()


def _kill(pid: int | None) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
