"""The one process that must not fail: it binds, holds the vault, starts the others, and hears the signals.

It reads neither what clients send nor the configuration: a child checks the file, and the workers get the text that
was accepted from here, never from disk. So a broken file and a dead worker together take nothing down.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from splicer.control.board import Column
from splicer.control.signature import Signature
from splicer.supervisor.desk import Desk
from splicer.supervisor.ending import Ending
from splicer.supervisor.launch import SIGNALS
from splicer.supervisor.reload import Reload
from splicer.supervisor.renewal import Renewal
from splicer.supervisor.standing import Standing
from splicer.supervisor.state import SupervisorState
from splicer.vault.holder import TICK

_TICK = 1.0  # seconds
_BUSY_TICK = 0.02  # seconds, while something is awaited that no descriptor tells of
_HOPELESS = 5  # workers in a row that fail before one has ever served


class Supervisor:
    """Runs the processes of one `splicer run`.

    Args:
        desk: what its parts share.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reload = Reload(desk)
        self._renewal = Renewal(desk, self._reload.close)
        self._ending = Ending(desk)
        self._standing = Standing(desk)
        self._was_ready = False
        self._due = self._untidy = 0.0  # when to look at the processes, and at the vault, on the monotonic clock

    def run(self, state: SupervisorState | None = None, *, reread: bool = False, read: Signature | None = None) -> int:
        """Serve until all is over; the exit code.

        Args:
            state: what this process was before an upgrade; None: it begins.
            reread: the file may have changed since then.
            read: what the file was when it was last read.
        """
        desk = self._desk
        wake = _wake_up_on_signals()
        desk.selector.register(wake, selectors.EVENT_READ, lambda _: self._hear_signals(wake))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if state is None:
            self._reload.read()  # while a child reads the file, the first worker is started
        else:
            self._was_ready = True
            desk.watch.note(read)
            self._renewal.resume(state)
            self._ending.go_on_draining()
            self._reap()
            if reread:
                self._reload.read()
        while desk.code is None:
            self._guarded(self._turn)
        self._reload.close()
        self._renewal.close()
        signal.set_wakeup_fd(-1)  # a child that ends after this loop would write to a socket that nobody has any more
        return desk.code

    def _turn(self) -> None:
        desk = self._desk
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _TICK
            for call in (desk.fleet.tick, self._watch, self._reload.expire, self._renewal.expire):
                self._guarded(call)
        if time.monotonic() >= self._untidy:
            self._untidy = time.monotonic() + (self._guarded(desk.vault.tidy) or TICK)
        for call in (desk.crew.fill, desk.attendant.fill, self._renewal.go_on, self._look):
            self._guarded(call)
        desk.steps = [step for step in desk.steps if not self._guarded(step)]
        desk.board.row(0)[Column.VAULT] = desk.vault.tunnels
        self._guarded(self._tell)
        busy = desk.steps or not desk.crew.complete
        for key, events in desk.selector.select(_BUSY_TICK if busy else max(0.0, self._untidy - time.monotonic())):
            self._guarded(key.data, events)

    # What one connection, one child or one message does wrong must not end the calls of all.
    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - logged; the supervisor is the one that must not fail
            with suppress(Exception):  # there may be no memory for a line
                text = "".join(traceback.format_exception(error))[-2000:]
                self._desk.say("supervisor_error", level="error", error=repr(error), traceback=text)

    def _hear_signals(self, wake: socket.socket) -> None:
        with suppress(BlockingIOError):
            for signum in wake.recv(256):
                self._guarded(self._on_signal, signum)

    def _on_signal(self, signum: int) -> None:
        match signum:
            case signal.SIGCHLD:
                self._reap()
            case signal.SIGHUP:
                self._reload.read()
            case signal.SIGTERM:
                self._ending.drain()
            case signal.SIGINT:
                self._ending.stop()
            case signal.SIGUSR1:
                self._renewal.recycle("recycled")
            case signal.SIGUSR2:
                self._renewal.upgrade()
            case signal.SIGQUIT:
                self._ending.hand_over()

    # Also those of others: as the first process of a container this one inherits every orphan.
    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._desk.fleet.died(*ended)

    def _watch(self) -> None:
        if self._desk.watch.look() and not self._desk.stopping:
            self._reload.read()

    def _tell(self) -> None:
        reloading = self._reload.underway or self._renewal.underway
        self._standing.tell(ready=self._was_ready, reloading=reloading)

    def _look(self) -> None:
        desk, crew = self._desk, self._desk.crew
        if crew.complete and not self._was_ready:
            self._was_ready = True
            desk.say("ready", listen=desk.listeners.names, workers=crew.slots)
        if not self._was_ready and crew.backoff.failures >= _HOPELESS and not crew.serving:
            desk.say.fail(["no worker can be started; the log and its own words above say why"])
            desk.finish(1)


def _wake_up_on_signals() -> socket.socket:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    for signum in SIGNALS:
        signal.signal(signum, lambda *_: None)
    return ours
