"""The parts of a worker that need no configuration, and outlive each one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from splicer.ipc.board import Board
from splicer.ipc.endpoint_memory import EndpointMemory
from splicer.net.waits import Timers
from splicer.observe.metrics import Metrics
from splicer.observe.progress import Progress
from splicer.observe.span_sender import SpanSender
from splicer.record import Record
from splicer.relay.api import Relay
from splicer.relay.hub import Hub
from splicer.session.identity import identities
from splicer.session.places import TunnelPlaces
from splicer.session.turns import Turns
from splicer.upstream.balance import Balancer
from splicer.upstream.closing import ClosingConnections
from splicer.upstream.pool import IdlePool
from splicer.upstream.snapshot import EndpointSnapshot
from splicer.upstream.status import EndpointStates
from splicer.upstream.tls_links import TlsLinks
from splicer.worker.admission import Admission
from splicer.worker.adopted import Adopted
from splicer.worker.board_publisher import BoardPublisher
from splicer.worker.client_connections import ClientConnections
from splicer.worker.newest import Start
from splicer.worker.outcome_reports import OutcomeReports
from splicer.worker.reports import Reports
from splicer.worker.ruleset_factory import RulesetFactory
from splicer.worker.serving_workers import ServingWorkers
from splicer.worker.vault_link import VaultLink
from splicer.worker.worker_log import WorkerLog


class Parts:
    """Makes and connects the parts.

    Args:
        board: the board.
        row: the number of this process's row.
        vault: a connection to the vault, or None.
        vault_version: the vault's protocol version.
        vault_path: the path of its socket, if it is a process of its own.
        metrics: the worker's metrics.
        adopt: called with each tunnel that the vault hands over.
    """

    def __init__(
        self,
        board: Board,
        row: int,
        vault: socket.socket | None,
        vault_version: int,
        vault_path: Path | None,
        metrics: Metrics,
        adopt: Callable[[Adopted], None],
    ) -> None:
        self.metrics = metrics
        self.spans = SpanSender(metrics.spans_dropped, identities())
        self.tls = TlsLinks(board.tls)
        self.log = WorkerLog(lambda: self.hub.tunnels)
        self.link = VaultLink(vault, vault_path, adopt, self.log.vault_event, vault_version)
        self.hub: Relay[Record] = Hub(registry=self.link)
        self.admission = Admission(board, row, self.log.room_made)
        self.publisher = BoardPublisher(board, row, self.hub, self.link, metrics)
        self.row = self.publisher.row
        self.progress = Progress(self.hub)
        self.endpoints = EndpointStates()
        self.balancer = Balancer(
            shared=board.loads.row(row), full=self.log.endpoints_uncounted, connects=board.connects.row(row)
        )
        self.snapshot = EndpointSnapshot(EndpointMemory(board.endpoints))
        self.reports = Reports()
        self.outcomes = OutcomeReports(self.reports, lambda: self.snapshot.verdicts)
        workers = ServingWorkers(board)
        self.clients = ClientConnections(workers)
        self.rules = RulesetFactory(self.balancer, self.snapshot, metrics.resolver, workers)
        self.route_counts = board.routes.row(row)
        self.places = TunnelPlaces(self.route_counts.tell, lambda name: board.routes.others(row, name))
        self.pool = IdlePool()
        self.closing = ClosingConnections()
        self.turns = Turns()
        self.timers = Timers()

    def start(self, start: Start) -> None:
        """Start the tasks of all parts."""
        running = (self.hub, self.turns, self.timers, self.pool, self.closing, self.link, self.spans)
        for part in (*running, self.progress, self.publisher, self.reports):
            start(part.run)

    def close(self) -> None:
        """Close idle connections, and send the vault the messages that are left."""
        self.pool.close()
        self.closing.close()
        self.reports.close()
        self.tls.close()
        self.link.finish()
