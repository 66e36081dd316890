"""The admin process: it follows the supervisor's commands, and its heartbeat shows that it is alive."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

import trio

from splicer.admin.current_config import CurrentConfig
from splicer.admin.drain_api import DrainApi
from splicer.admin.events import Events
from splicer.admin.handlers import Handlers, Scraping
from splicer.admin.picture import Picture
from splicer.admin.rates import LOOKED_AT
from splicer.admin.shared import Shared
from splicer.admin.supervisor_status import SupervisorStatus
from splicer.admin.tallies import Tallies
from splicer.admin.tls_state import TlsState
from splicer.admin.traces import Traces
from splicer.admin.web import Web
from splicer.admin.workers import Workers
from splicer.ipc.absent_workers import ask_for_absent
from splicer.ipc.board import Board
from splicer.ipc.facts import by_listener
from splicer.ipc.heartbeat import Heartbeat
from splicer.ipc.messages import (
    AdminOrder,
    AdminReport,
    Config,
    Facts,
    HearSpans,
    IntroduceWorker,
    Ready,
    ServeAdmin,
    Serving,
    Stop,
)
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.ipc.tls_orders import Profile
from splicer.ipc.wire import Received, read_text
from splicer.observe.log import Logger
from splicer.otlp.exporter import Exporter

_LAST_SPANS_TIMEOUT = 3.0  # seconds to export the rest at the end


Streams = Callable[[], int]


class Admin:
    """Serves when the supervisor says so.

    Args:
        supervisor: the channel to the supervisor.
        board: the board.
        row: the number of this process's row.
        path: the configuration's file, for messages only: the text comes from the supervisor.
        environ: the environment for its ``${NAME}``.
        scrape: makes the object that makes the text for Prometheus.
        counts: the directory of the metrics' files; None: there are no files.
        log: the logger.
    """

    def __init__(
        self,
        supervisor: SupervisorChannel[AdminOrder, AdminReport],
        board: Board,
        row: int,
        path: Path,
        environ: Mapping[str, str],
        scrape: Callable[[Workers, SupervisorStatus, CurrentConfig, DrainApi, Exporter, TlsState, Streams], Scraping],
        counts: Path | None,
        log: Logger,
    ) -> None:
        self._counts = counts
        self._supervisor = supervisor
        self._board = board
        self._beat = Heartbeat(board.row(row))
        self._path = path
        self._environ = environ
        self._scrape = scrape
        self._log = log
        self._facts = SupervisorStatus()
        self._tls = TlsState(board, self._facts)

    async def run(self) -> bool:
        """Follow the supervisor's commands until "stop" or until it is gone; False if one could not be followed."""
        trio.lowlevel.add_instrument(self._beat)
        with trio.CancelScope() as everything:
            async with trio.open_nursery() as for_spans:
                obeyed = await self._serve_until_stop(for_spans)
                everything.deadline = trio.current_time() + _LAST_SPANS_TIMEOUT
                await self._traces.finish()
                everything.cancel()
        return obeyed

    # At "stop", nobody is answered any more: in an upgrade the next admin process has the same listeners by then.
    async def _serve_until_stop(self, for_spans: trio.Nursery) -> bool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_for_absent, self._absent, self._supervisor.reply)
            self._workers = Workers(nursery, self._log, lambda: self._board.slots)
            self._current = CurrentConfig(nursery, self._path, self._environ, self._log)
            self._traces = Traces(for_spans, self._current, self._environ, self._log)
            for_spans.start_soon(self._traces.run)
            self._nursery = nursery
            self._supervisor.reply(Ready())
            obeyed = await self._work()
            nursery.cancel_scope.cancel()
        return obeyed

    # Without a free descriptor this process ends: it has no state worth keeping, and the next one gets everything.
    async def _work(self) -> bool:
        async for heard in self._supervisor.commands():
            order = heard.message
            if isinstance(order, Stop):
                break
            if heard.lost and order is not None:
                self._log.error("no_descriptor", process="admin", order=order.KIND)
                return False
            self._obey(heard)
        return True

    def _obey(self, heard: Received[AdminOrder]) -> None:
        match heard.message:
            case ServeAdmin(request, facts, listeners):
                self._facts.learn(facts)
                self._serve(by_listener(heard.fds, listeners))
                self._supervisor.reply(Serving(request))
            case Facts(facts):
                self._facts.learn(facts)
            case Config():
                self._current.learn(read_text(*heard.fds))
            case Profile(facts):
                self._tls.learn(facts)
            case IntroduceWorker(slot, pid, version, mover):
                self._workers.add(slot, pid, received(*heard.fds), version, mover)
            case HearSpans(slot):
                self._traces.listen(slot, received(*heard.fds))

    # Sockets with an unknown name belong to listeners of a newer supervisor.
    def _serve(self, fds: dict[str, list[int]]) -> None:
        listeners = {name: [socket.socket(fileno=fd) for fd in several] for name, several in fds.items()}
        drains = DrainApi(self._supervisor, self._facts, self._workers, self._current, self._board)
        tallies = Tallies(self._counts, LOOKED_AT)
        picture = Picture(self._board, self._facts, self._workers, self._current, drains, self._tls, tallies)
        events = Events(picture, self._workers, self._bug)
        live = self._workers, self._facts, self._current, drains, self._traces.exporter, self._tls
        scrape = Shared(self._scrape(*live, lambda: events.streams))
        pages = Handlers(
            self._board, self._facts, self._workers, self._current, drains, scrape, self._tls, events, self._operated
        )
        self._nursery.start_soon(events.run)
        for_operators = Web(pages.for_operators, self._log)
        for_scraper = Web(pages.for_scraper, self._log, any_host=True)
        self._nursery.start_soon(for_operators.serve, listeners.pop("admin", []))
        self._nursery.start_soon(for_scraper.serve, listeners.pop("metrics", []))
        for sock in chain.from_iterable(listeners.values()):
            sock.close()

    def _operated(self, action: str, what: str, client: str) -> None:
        self._log.info("operator", action=action, what=what, client=client)

    def _bug(self, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))[-2000:]
        self._log.error("crash", process="admin", error=repr(error), traceback=text)

    def _absent(self) -> set[int]:
        return self._board.slots - self._workers.pids.keys()
