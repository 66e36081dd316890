"""One worker process: it follows the supervisor's commands, and its nursery has the tasks of all calls."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NoReturn

import trio
from setproctitle import getproctitle, setproctitle

from splicer.config.listener import from_text
from splicer.configfile.inherited import inherited
from splicer.configfile.read import Prepared as PreparedConfig
from splicer.configfile.read import prepare_to_serve
from splicer.errors import Side
from splicer.ipc import wire
from splicer.ipc.board import Board, Column
from splicer.ipc.facts import by_listener
from splicer.ipc.messages import (
    Attend,
    Connection,
    Drain,
    Draining,
    DrainsFollowed,
    Expire,
    FollowDrains,
    HandedOver,
    Imported,
    Inherit,
    Prepare,
    Prepared,
    Reload,
    Reloaded,
    Report,
    Retire,
    Serve,
    Serving,
    Stop,
    TraceTo,
    WorkerOrder,
    WorkerReport,
)
from splicer.ipc.query import RowBatches, answer_queries
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.ipc.tls_orders import AttachTls
from splicer.ipc.wire import Received
from splicer.net.listen import ListeningSocket
from splicer.observe.line_writer import LineWriter
from splicer.observe.loop_writer import write_from_loop
from splicer.observe.metrics import Metrics
from splicer.relay.instrument import RelayInstrument
from splicer.relay.state import MOVER
from splicer.worker.adopted import Adopted
from splicer.worker.answers import answers
from splicer.worker.collector import collect_young_only
from splicer.worker.configured import Configured
from splicer.worker.inheritance import Heir, inherit
from splicer.worker.lifecycle import IllegalTransition, Lifecycle, State
from splicer.worker.parts import Parts
from splicer.worker.vital import VitalTasks, run_vital

_RETIRE_TIMEOUT = 15.0  # seconds for handshakes in flight before the tunnels are handed over
_DEATH_LOG_TIMEOUT = 0.1  # seconds for which a dying worker waits for the log: its calls are silent meanwhile


class Worker:
    """Serves a slot when the supervisor says so.

    Args:
        supervisor: the channel to the supervisor.
        board: the board.
        row: the number of this process's row.
        vault: a connection to the vault, or None.
        vault_version: the vault's protocol version.
        vault_path: the path of its socket, if it is a process of its own.
        path: the configuration's file, for messages only: the text comes from the supervisor.
        environ: the environment for its ``${NAME}``.
        lines: the writer of log lines.
        metrics: the worker's metrics.
    """

    def __init__(
        self,
        supervisor: SupervisorChannel[WorkerOrder, WorkerReport],
        board: Board,
        row: int,
        vault: socket.socket | None,
        vault_version: int,
        vault_path: Path | None,
        path: Path,
        environ: Mapping[str, str],
        lines: LineWriter,
        metrics: Metrics,
    ) -> None:
        self._supervisor = supervisor
        self._path = path
        self._environ = environ
        self._lines = lines
        self._lifecycle = Lifecycle()
        self._parts = Parts(board, row, vault, vault_version, vault_path, metrics, self._adopt)
        self._row = self._parts.row
        self._newest_reload = self._newest_drains = 0  # numbers of requests: an answer is one to all before

    async def run(self) -> None:
        """Follow the supervisor's commands until "stop"."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals, self._parts.hub.opened():
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            await run_vital(partial(self._serve_supervisor, signals), self.die)
            self._parts.close()
            # Trio raises signals again that the receiver has not read, and a Ctrl-C goes to all processes of a
            # terminal.
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        self._parts.spans.flush()  # those of calls that have ended with the hub

    async def _serve_supervisor(self, signals: AsyncIterator[int], tasks: VitalTasks) -> None:
        self._tasks = tasks
        trio.lowlevel.add_instrument(RelayInstrument(self._parts.hub, self._row[Column.BEAT :]))
        self._parts.start(tasks.start_soon)
        tasks.start_soon(write_from_loop, self._lines)
        tasks.start_soon(self._end_on_signal, signals)
        self._supervisor.reply(Imported(MOVER))
        await self._work()

    async def _work(self) -> None:
        async for heard in self._supervisor.commands():
            order = heard.message
            if isinstance(order, Stop):
                if self._parts.hub.left:  # unwinding would log the ends of calls that go on in other workers
                    self._exit()
                return
            if heard.lost and isinstance(order, Prepare | Serve):
                raise OSError(f"no descriptor is left for what belongs to {order.KIND!r}")
            if order is not None:
                await self._obey(order, heard)
        await self._finish_alone()

    # Unwinding would shut down every call's sockets. If the process dies, the vault still has them, and a spare goes
    # on. The calls are silent until then, so the wait for the log is short.
    def die(self, error: BaseException) -> NoReturn:
        """End this process at once, without unwinding, because of `error`."""
        try:
            self._lines.leave_loop()  # Trio may be what has failed, and would not wake the writer any more
            self._parts.log.crash(error)
            self._lines.close(_DEATH_LOG_TIMEOUT)
        finally:
            os._exit(1)

    # A command that doesn't fit the state is a bug. It ends a worker without calls; a worker that may have calls
    # refuses it and goes on. If the supervisor waits for an answer, it kills the worker after a timeout, and the vault
    # has the calls.
    async def _obey(self, order: WorkerOrder, heard: Received[WorkerOrder]) -> None:
        try:
            await self._follow(order, heard.fds)
        except IllegalTransition as error:
            if not self._lifecycle.has_served:
                raise
            for fd in heard.fds:
                os.close(fd)
            self._parts.log.order_refused(order.KIND, str(error))

    async def _follow(self, order: WorkerOrder, fds: list[int]) -> None:
        match order:
            case Prepare():
                self._lifecycle.check(State.PREPARED)
                await self._prepare(order, fds[0])
            case Serve():
                self._lifecycle.enter(State.SERVING)
                await self._serve(order, fds)
            case Reload(request):
                self._newest_reload = request
                self._configured.reloads.ask(fds)
            case Drain(request):
                await self._configured.draining.set_edge(draining=True)
                self._parts.publisher.publish()
                self._supervisor.reply(Draining(request))
            case FollowDrains(request, drains):
                self._newest_drains = request
                self._configured.draining.ask(drains)
            case Attend():
                for fd in fds:  # the message has no descriptor if this process had none free
                    self._attend(received(fd))
            case TraceTo():
                for fd in fds:
                    self._parts.spans.connect(received(fd))
            case Report():
                for fd in fds:
                    self._parts.reports.open(received(fd))
            case AttachTls(row, generation):
                for fd in fds:
                    self._parts.tls.attach(row, generation, received(fd))
            case Expire():
                self._parts.hub.end_all(Side.PROXY, "drain")
            case Retire(seconds, linger, version):
                self._lifecycle.enter(State.RETIRING)
                heirs = [Heir(received(fd), version) for fd in fds]
                self._tasks.start_soon(self._retire, _RETIRE_TIMEOUT if seconds is None else seconds, linger, *heirs)
            case Inherit():
                for fd in fds:
                    self._tasks.start_soon(inherit, received(fd), self._inherit)

    # ---- a slot ----

    # All slow steps are done here, before the worker gets a slot: by then, calls may be waiting.
    async def _prepare(self, order: Prepare, fd: int) -> None:
        prepared = await self._read(fd)
        self._configured = Configured(
            prepared,
            self._parts,
            self._tasks,
            self._lines,
            self._path,
            self._read,
            reloaded=lambda: self._supervisor.reply(Reloaded(self._newest_reload)),
            drains_set=self._drains_set,
        )
        await self._configured.draining.follow(order.drains)
        collect_young_only()
        self._configured.start()
        self._lifecycle.enter(State.PREPARED)
        self._supervisor.reply(Prepared(order.request))

    async def _read(self, fd: int) -> PreparedConfig:
        text = wire.read_text(fd)
        parsed = inherited(text, self._environ)
        if parsed is not None and not parsed.config.hooks:
            return PreparedConfig(parsed.config, parsed.table)
        return await trio.to_thread.run_sync(prepare_to_serve, text, self._path, self._environ)

    # Sockets that this version has no use for belong to listeners that a newer supervisor knows.
    async def _serve(self, order: Serve, fds: list[int]) -> None:
        configured = self._configured
        await configured.draining.set_edge(draining=order.draining)
        self._row[Column.SLOT] = order.slot
        self._parts.link.serve(order.slot, order.slots)
        by_name = by_listener(fds, order.listeners)
        listeners = [ListeningSocket(fd) for fd in by_name.pop("listen", ())]
        rules = [from_text(text) for text in order.rules]
        configured.acceptor.listen(listeners, configured.config.limits.socket_buffer, rules)
        for fd in chain.from_iterable(by_name.values()):
            os.close(fd)
        configured.start_serving()
        self._row[Column.LISTENING] = 1
        setproctitle(f"splicer: worker {order.slot}")
        self._parts.publisher.publish()
        self._supervisor.reply(Serving(order.request))

    def _inherit(self, sock: socket.socket, known: Connection) -> None:
        self._configured.acceptor.inherit(sock, known.peer, known.arrival, known.awaited, known.tls)

    def _adopt(self, adopted: Adopted) -> None:
        self._configured.adoption.adopt(adopted)

    # ---- what is asked ----

    def _attend(self, sock: socket.socket) -> None:
        queries = answers(self._parts.hub, self._row[Column.SLOT], self._endpoint_rows)
        self._tasks.start_soon(answer_queries, sock, queries, self._parts.log.query_failed)

    def _endpoint_rows(self) -> RowBatches:
        return self._configured.endpoint_rows()

    def _drains_set(self) -> None:
        self._parts.publisher.publish()  # the client that has set the drain reads the numbers next
        self._supervisor.reply(DrainsFollowed(self._newest_drains))

    # ---- the end ----

    async def _retire(self, seconds: float, linger: float | None, heir: Heir | None = None) -> None:
        leaving = self._configured.leaving
        await leaving.leave(heir)
        setproctitle(f"{getproctitle()} (leaving)")
        await leaving.hand_over(seconds, linger, lambda: self._supervisor.reply(HandedOver()))
        self._exit()

    def _exit(self) -> NoReturn:
        self._parts.spans.flush()
        self._lines.close()
        os._exit(0)

    # A worker that never had a slot has no calls to finish.
    async def _finish_alone(self) -> None:
        has_served = self._lifecycle.has_served
        self._lifecycle.enter(State.ORPHANED)
        if not has_served:
            return
        self._parts.log.error_with_tunnels("supervisor_lost")
        await self._configured.leaving.leave()
        await self._configured.leaving.finish()

    async def _end_on_signal(self, signals: AsyncIterator[int]) -> None:
        async for _ in signals:
            if self._lifecycle.state is State.ORPHANED:
                self._tasks.end()
