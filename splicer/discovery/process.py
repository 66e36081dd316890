"""The discovery process: it follows the supervisor's commands, and its heartbeat shows that it is alive."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import trio

from splicer.config.load import load
from splicer.discovery.judgement import Judgement
from splicer.discovery.publisher import Publisher
from splicer.discovery.reports import ReportChannels
from splicer.discovery.services import Services
from splicer.errors import ConfigError
from splicer.ipc.absent_workers import ask_for_absent
from splicer.ipc.board import Board
from splicer.ipc.endpoint_memory import EndpointMemory
from splicer.ipc.heartbeat import Heartbeat
from splicer.ipc.messages import (
    Config,
    Discover,
    DiscoveryOrder,
    DiscoveryReport,
    IntroduceWorker,
    Ready,
    Serving,
    Stop,
)
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.ipc.tls_orders import AttachTls
from splicer.ipc.wire import Received, read_text
from splicer.observe.discovery_metrics import DiscoveryMetrics
from splicer.observe.log import Logger
from splicer.upstream.tls_links import TlsLinks

_CLAIM_INTERVAL = 0.05  # seconds between two attempts to become the snapshot's writer


class Discovery:
    """Discovers when the supervisor says so.

    Args:
        supervisor: the channel to the supervisor.
        board: the board, which has the endpoint snapshot's memory.
        row: the number of this process's row.
        path: the configuration's file, for messages only: the text comes from the supervisor.
        environ: the environment for its ``${NAME}``, which also says where the API server is.
        log: the logger.
        metrics: counts what it does.
    """

    def __init__(
        self,
        supervisor: SupervisorChannel[DiscoveryOrder, DiscoveryReport],
        board: Board,
        row: int,
        path: Path,
        environ: Mapping[str, str],
        log: Logger,
        metrics: DiscoveryMetrics,
    ) -> None:
        self._supervisor = supervisor
        self._board = board
        self._beat = Heartbeat(board.row(row))
        self._path = path
        self._environ = environ
        self._log = log
        self._metrics = metrics
        self._tls = TlsLinks(board.tls)

    async def run(self) -> bool:
        """Follow the supervisor's commands until "stop" or until it is gone; False if one could not be followed."""
        async with trio.open_nursery() as nursery:
            trio.lowlevel.add_instrument(self._beat)
            self._nursery = nursery
            self._channels = ReportChannels(nursery, self._log)
            nursery.start_soon(ask_for_absent, self._absent, self._supervisor.reply)
            self._supervisor.reply(Ready())
            obeyed = await self._work()
            nursery.cancel_scope.cancel()
        self._tls.close()
        return obeyed

    # Without a free descriptor this process ends: what it has found is in the snapshot, and the next one goes on.
    async def _work(self) -> bool:
        async for heard in self._supervisor.commands():
            order = heard.message
            if isinstance(order, Stop):
                break
            if heard.lost and order is not None:
                self._log.error("no_descriptor", process="discovery", order=order.KIND)
                return False
            await self._obey(heard)
        return True

    async def _obey(self, heard: Received[DiscoveryOrder]) -> None:
        match heard.message:
            case Discover(request):
                await self._begin()
                self._supervisor.reply(Serving(request))
            case Config():
                await self._use(read_text(*heard.fds))
            case AttachTls(row, generation):
                self._tls.attach(row, generation, received(*heard.fds))
            case IntroduceWorker(slot, pid):
                self._channels.add(slot, pid, received(*heard.fds))

    # The one before this process has been told to stop, or is dead; after an upgrade it may need another moment.
    async def _begin(self) -> None:
        memory = EndpointMemory(self._board.endpoints, writable=True)
        while not memory.claim():  # noqa: ASYNC110 - the kernel tells nobody that a lock is free
            await trio.sleep(_CLAIM_INTERVAL)
        publisher = Publisher(memory, self._log)
        self._services = Services(self._nursery, publisher, self._metrics, self._log, self._environ)
        self._judgement = Judgement(self._nursery, publisher, self._channels, self._tls, self._log, self._metrics)
        self._nursery.start_soon(publisher.run)

    # In a thread: parsing a large file must not delay the heartbeat.
    async def _use(self, text: str) -> None:
        read = partial(load, text, name=str(self._path), environ=self._environ)
        try:
            config = await trio.to_thread.run_sync(read, abandon_on_cancel=True)
        except ConfigError as error:
            self._log.error("config_unread", process="discovery", file=str(self._path), error=error.detail)
        else:
            self._services.use(config)
            self._metrics.know(config.upstreams.values())
            self._judgement.use(config)

    def _absent(self) -> set[int]:
        return self._board.slots - self._channels.slots
