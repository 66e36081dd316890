"""The one process that must not fail: it binds, holds the vault, starts the other processes, and handles signals.

It parses neither clients' bytes nor the configuration: a child checks the file, and the workers get the accepted text
from here, never from disk. So the edge survives a broken file and a dead worker together.
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

from splicer.configfile.signature import Signature
from splicer.ipc.arguments import StartedTemplate
from splicer.ipc.board import Column
from splicer.ipc.memory import give_back
from splicer.supervisor.control_socket import Client
from splicer.supervisor.edge_state import EdgeState
from splicer.supervisor.launch import SIGNALS
from splicer.supervisor.outcomes import Topic
from splicer.supervisor.pace import TICK, longest_wait
from splicer.supervisor.reload import Reload
from splicer.supervisor.service_status import ServiceStatus
from splicer.supervisor.shutdown import Shutdown
from splicer.supervisor.state import SupervisorState
from splicer.supervisor.upgrade import Upgrade

_CHECK_INTERVAL = 1.0  # seconds between two checks of processes, file and clients
_MAX_START_FAILURES = 5  # workers in a row that may fail before any has served


class Supervisor:
    """Runs the processes of one `splicer run`.

    Args:
        edge: the state shared by the supervisor's parts.
    """

    def __init__(self, edge: EdgeState) -> None:
        self._edge = edge
        self._reload = Reload(edge)
        self._upgrade = Upgrade(edge, self._reload.close)
        self._shutdown = Shutdown(edge)
        self._service_status = ServiceStatus(edge)
        self._commands: dict[str, tuple[Topic, Callable[[], None]]] = {
            "reload": (Topic.READING, self._reload.read),
            "upgrade": (Topic.PREFLIGHT, self._upgrade.upgrade),
            "recycle": (Topic.RENEWAL, lambda: self._upgrade.recycle("recycled")),
            "handover": (Topic.HANDOVER, self._shutdown.hand_over),
        }
        edge.control.on_word = self._on_word
        self._was_ready = False
        self._due = self._tidied = 0.0  # when to check the processes, when the vault was tidied; on the monotonic clock

    def run(
        self,
        state: SupervisorState | None = None,
        *,
        reread: bool = False,
        read: Signature | None = None,
        template: StartedTemplate | None = None,
    ) -> int:
        """Serve until the edge has ended; return the exit code.

        Args:
            state: the state of this process before an upgrade; None: this is a new edge.
            reread: whether the file may have changed since then.
            read: the file's signature when it was last read.
            template: a template that loads already; None: this starts one.
        """
        edge = self._edge
        wake = _wake_up_on_signals()
        edge.selector.register(wake, selectors.EVENT_READ, lambda _: self._hear_signals(wake))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        edge.template.begin(template, edge.path)
        if state is None:
            edge.steps.append(self._read_first)
        else:
            self._was_ready = True
            edge.watch.note(read)
            self._upgrade.resume(state)
            self._shutdown.go_on_draining()
            self._reap()
            if reread:
                self._reload.read()
        while edge.code is None:
            self._guarded(self._turn)
        self._reload.close()
        self._upgrade.close()
        edge.control.close()
        signal.set_wakeup_fd(-1)  # a SIGCHLD after this loop would write to a closed socket
        return edge.code

    # While a child reads the file, the first worker is started.
    def _read_first(self) -> bool:
        edge = self._edge
        if edge.template.awaited:
            return False
        try:
            self._reload.read()
        except OSError as error:
            edge.log.die_usage([f"{edge.path}: no process can be had to read it: {error.strerror}"])
            edge.finish(1)
        return True

    def _turn(self) -> None:
        edge = self._edge
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _CHECK_INTERVAL
            for call in (
                edge.process_table.tick,
                self._watch,
                self._reload.expire,
                self._upgrade.expire,
                edge.control.tidy,
            ):
                self._guarded(call)
        if time.monotonic() >= self._tidied + edge.vault.tidy_interval:
            self._tidied = time.monotonic()
            self._guarded(edge.vault.tidy)
        starts = edge.tls.reconcile, edge.workers.reconcile, *(process.reconcile for process in edge.side_processes)
        start = () if edge.template.awaited else starts
        for call in (edge.template.reconcile, *start, self._upgrade.go_on, self._look):
            self._guarded(call)
        edge.steps = [step for step in edge.steps if not self._guarded(step)]
        edge.board.row(0)[Column.VAULT] = edge.vault.tunnels
        self._guarded(self._tell)
        wait = self._guarded(self._wait)
        for key, events in edge.selector.select(TICK if wait is None else wait):
            if edge.code is None:  # else the deaths of processes that `finish` has killed would be logged
                self._guarded(key.data, events)
        edge.vault.rest()

    # Invariant: an error in handling one connection, child or message never ends the supervisor, and with it all calls.
    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - logged; the supervisor must not fail
            with suppress(Exception):  # there may be no memory for a log line
                text = "".join(traceback.format_exception(error))[-2000:]
                self._edge.log("supervisor_error", level="error", error=repr(error), traceback=text)

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
                self._shutdown.drain()
            case signal.SIGINT:
                self._shutdown.stop()
            case signal.SIGUSR1:
                self._upgrade.recycle("recycled")
            case signal.SIGUSR2:
                self._upgrade.upgrade()
            case signal.SIGQUIT:
                self._shutdown.hand_over()

    # The client is registered before the command begins, because some outcomes are known at once.
    def _on_word(self, client: Client, word: str) -> None:
        edge = self._edge
        if word not in self._commands:
            client.answer([f"{word!r} is no command; there are {', '.join(self._commands)}"], ok=False)
        elif edge.summary is None:
            client.answer(["the edge is starting"], ok=False)
        elif edge.stopping and not (word == "handover" and self._shutdown.handing_over):
            client.answer(["the edge is stopping"], ok=False)
        else:
            topic, begin = self._commands[word]
            edge.outcomes.waiting[client] = topic
            begin()

    # Reaps other processes' children too: the first process of a container inherits every orphan.
    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._edge.template.died(*ended)
                self._edge.process_table.died(*ended)

    def _watch(self) -> None:
        if self._edge.watch.look() and not self._edge.stopping:
            self._reload.read()

    def _tell(self) -> None:
        self._service_status.tell(ready=self._was_ready, reloading=self._is_reloading)

    @property
    def _is_reloading(self) -> bool:
        return self._reload.underway or self._upgrade.underway

    def _wait(self) -> float:
        edge = self._edge
        due = min(self._due, self._tidied + edge.vault.tidy_interval, edge.notify.due)
        return max(0.0, min(due - time.monotonic(), longest_wait(edge, reloading=self._is_reloading)))

    def _look(self) -> None:
        edge, workers = self._edge, self._edge.workers
        if workers.complete and edge.tls.complete and not self._was_ready:
            self._was_ready = True
            edge.log("ready", listen=edge.listeners["listen"].names, workers=workers.slots, mover=workers.movers)
            give_back()
        if not self._was_ready and workers.backoff.failures >= _MAX_START_FAILURES and not workers.serving:
            edge.log.die_usage(["no worker can be started; the log and its own words above say why"])
            edge.finish(1)


def _wake_up_on_signals() -> socket.socket:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    for signum in SIGNALS:
        signal.signal(signum, lambda *_: None)
    return ours
