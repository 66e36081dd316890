"""The text for Prometheus: the counts of all processes, and gauges of the current state.

Counters and histograms come from the files of all rows, also of dead processes. Gauges are made from the workers'
answers and the board: a gauge that is incremented and decremented would be wrong if its worker were killed in between.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import trio

from splicer import __version__
from splicer.admin.counted import Counted
from splicer.admin.current_config import CurrentConfig
from splicer.admin.discovered import STATES, Discovered
from splicer.admin.discovery_metrics import discovery_metrics
from splicer.admin.drain_api import DrainApi
from splicer.admin.exposition import exposition
from splicer.admin.removed import RemovedRoutes
from splicer.admin.supervisor_status import SupervisorStatus
from splicer.admin.tls_state import TlsState
from splicer.admin.upstreams import newer
from splicer.admin.uptime import uptime
from splicer.admin.workers import Workers
from splicer.ipc.board import ROWS, Board, Column
from splicer.ipc.endpoint_memory import EndpointMemory
from splicer.ipc.queries import AskCounts, AskEndpoints, CountRow, EndpointRow, Question
from splicer.observe.samples import Family, Sample, counter, gauge
from splicer.otlp.exporter import Exporter
from splicer.upstream.snapshot import EndpointSnapshot

_ANSWER_TIMEOUT = 1.0  # seconds for the workers' answers; a scraper waits for ten
_MOVERS = ("native", "python")

R = TypeVar("R")


class Scrape:
    """Makes the text.

    Args:
        board: the board.
        workers: asked for live data.
        facts: the supervisor's last facts.
        current: the configuration in force: its routes have series from the start.
        drains: give the numbers of remaining tunnels.
        exporter: counts what it has done with spans.
        tls: has the gauges of TLS.
        streams: returns the number of open streams.
        directory: the directory of the metrics' files; None: there are no files.
    """

    def __init__(
        self,
        board: Board,
        workers: Workers,
        facts: SupervisorStatus,
        current: CurrentConfig,
        drains: DrainApi,
        exporter: Exporter,
        tls: TlsState,
        streams: Callable[[], int],
        directory: Path | None,
    ) -> None:
        self._board = board
        self._workers = workers
        self._facts = facts
        self._current = current
        self._drains = drains
        self._exporter = exporter
        self._tls = tls
        self._streams = streams
        self._totals: Counter[Column] = Counter()
        self._removed = RemovedRoutes(directory)
        self._counted = Counted(directory, current)
        self._snapshot = EndpointSnapshot(EndpointMemory(board.endpoints))
        self._started = time.time() - uptime()

    async def __call__(self) -> bytes:
        """The text of one scrape."""
        config = self._current.now
        adopted = self._board.total(Column.ADOPTED)
        counted = self._counted()
        counts: list[CountRow] = []
        endpoints: list[EndpointRow] = []

        async def ask(what: Callable[[int], Question[R]], rows: list[R]) -> None:
            rows += (await self._workers.ask(what, _ANSWER_TIMEOUT)).rows

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, AskCounts, counts)
            nursery.start_soon(ask, AskEndpoints, endpoints)
        if config is not None:
            self._leave_out(counted, {route.name for route in config.routes}, counts)
        settled = adopted == self._board.total(Column.ADOPTED)
        self._count_spans(counted["splicer_spans"])
        self._count_live_bytes(counted["splicer_tunnel_bytes"], counts if settled else [])
        return exposition(
            [
                *counted.values(),
                *self._connections(),
                *self._tunnels(counted, counts),
                *self._endpoints(counted, endpoints),
                *self._processes(),
                *self._supervisor(),
                _gauge("admin_streams", "Dashboards that look.", self._streams()),
                _gauge("span_queue", "Spans that wait for their export.", self._exporter.waiting),
                *discovery_metrics(self._snapshot, self._facts.now.discovery_restarts),
                *self._tls.metrics(),
                *await self._draining(),
            ]
        )

    def _leave_out(self, counted: dict[str, Family], configured: set[str], counts: list[CountRow]) -> None:
        routes = {sample.labels.get("route", "") for metric in counted.values() for sample in metric.samples} - {""}
        past = self._removed.past(routes, configured | {route for row in counts for route, *_ in row.tunnels})
        if past:
            for metric in counted.values():
                metric.samples = [sample for sample in metric.samples if sample.labels.get("route") not in past]

    # Bytes are counted when a tunnel ends, and a tunnel may last an hour: those of live tunnels are added here. Closed
    # ones are read first, so that none counts twice. While tunnels are between two workers the last sum is reported
    # again, because Prometheus takes a counter that falls for one that was reset.
    def _count_live_bytes(self, metric: Family, rows: list[CountRow]) -> None:
        most = self._board.row(0)
        live = {"to_pod": sum(row.to_pod for row in rows), "to_client": sum(row.to_client for row in rows)}
        for direction, column in (("to_pod", Column.SEEN_TO_POD), ("to_client", Column.SEEN_TO_CLIENT)):
            closed = sum(sample.value for sample in metric.samples if sample.labels["direction"] == direction)
            most[column] = max(most[column], int(closed) + live[direction])
        metric.samples = [
            Sample("splicer_tunnel_bytes_total", {"direction": "to_pod"}, most[Column.SEEN_TO_POD]),
            Sample("splicer_tunnel_bytes_total", {"direction": "to_client"}, most[Column.SEEN_TO_CLIENT]),
        ]

    # Workers count those that this process did not take, and this process the others.
    def _count_spans(self, metric: Family) -> None:
        for result, count in self._exporter.counts.items():
            metric.samples.append(Sample("splicer_spans_total", {"result": result}, float(count)))

    def _connections(self) -> Iterator[Family]:
        board = self._board
        yield _gauge("connections_active", "Client connections.", board.connections)
        yield _counter("connections", "Client connections accepted.", self._most(Column.ACCEPTED))
        yield _counter("tunnels_adopted", "Tunnels that changed their worker.", self._most(Column.ADOPTED))

    # While the supervisor moves a dead worker's totals to row 0, they are in no row for an instant.
    def _most(self, column: Column) -> int:
        self._totals[column] = max(self._totals[column], self._board.total(column))
        return self._totals[column]

    # Zeros too, for every pod that ever had a tunnel: for Prometheus, a series that vanishes keeps its last value.
    def _tunnels(self, counted: dict[str, Family], counts: list[CountRow]) -> Iterator[Family]:
        active: Counter[tuple[str, str]] = Counter()
        for sample in counted["splicer_tunnels"].samples:
            active[sample.labels["route"], sample.labels["pod"]] = 0
        for row in counts:
            for route, pod, count in row.tunnels:
                active[route, pod if (route, pod) in active else "other"] += count
        family = gauge("splicer_tunnels_active", "Tunnels that are open.", labels=("route", "pod"))
        for labels, count in active.items():
            family.add(labels, count)
        yield family

    def _endpoints(self, counted: dict[str, Family], rows: list[EndpointRow]) -> Iterator[Family]:
        upstreams = {sample.labels["upstream"] for sample in counted["splicer_attempts"].samples}
        newest: dict[tuple[str, str, int], EndpointRow] = {}
        for row in Discovered(self._snapshot, self._current.now).rows(rows):
            place = row.upstream, row.address, row.port
            newest[place] = row if place not in newest else newer(newest[place], row)
        counts = Counter((row.upstream, row.state) for row in newest.values())
        upstreams = (upstreams | {upstream for upstream, _ in counts}) - {""} or {""}
        family = gauge("splicer_endpoints", "Endpoints, each in its worst state.", labels=("upstream", "state"))
        for upstream in sorted(upstreams):
            for state in STATES:
                family.add((upstream, state), counts[upstream, state])
        yield family
        yield self._fullest(rows)

    # Of upstreams that have no limit too: it says where one would be right.
    def _fullest(self, rows: list[EndpointRow]) -> Family:
        calls: Counter[tuple[str, str, int]] = Counter()
        for row in rows:
            calls[row.upstream, row.address, row.port] += row.tunnels
        most: Counter[str] = Counter()
        for (upstream, _, _), count in calls.items():
            most[upstream] = max(most[upstream], count)
        family = gauge("splicer_endpoint_tunnels_most", "Calls at the endpoint that has most.", labels=("upstream",))
        for upstream, count in sorted(most.items()) or [("", 0)]:
            family.add((upstream,), count)
        return family

    def _processes(self) -> Iterator[Family]:
        rows = [row for row in map(self._board.row, range(1, ROWS)) if row[Column.SLOT]]
        wanted = self._facts.now.workers
        connected = {str(row[Column.SLOT]): 0 for row in rows} or {"1": 0}
        for row in rows:
            slot = str(row[Column.SLOT])
            connected[slot] = max(connected[slot], row[Column.VAULT])
        yield _gauge("workers_wanted", "Workers that there should be.", wanted)
        yield _gauge("workers_serving", "Workers that there are.", len({row[Column.SLOT] for row in rows}))
        vault = gauge("splicer_vault_connected", "Whether calls are protected.", labels=("worker",))
        for worker, value in connected.items():
            vault.add((worker,), value)
        yield vault
        relay = gauge("splicer_relay_workers", "Workers, by what moves their frames.", labels=("mover",))
        movers = Counter(mover for _, mover in self._workers.movers)
        for mover in _MOVERS:
            relay.add((mover,), movers[mover])
        yield relay
        pipes = gauge("splicer_pipes", "Pipes of the relay.", labels=("state",))
        pipes.add(("pooled",), self._board.total(Column.PIPES_POOLED))
        pipes.add(("parked",), self._board.total(Column.PIPES_PARKED))
        yield pipes

    def _supervisor(self) -> Iterator[Family]:
        facts = self._facts.now
        reloads = facts.reloads
        yield _counter("worker_restarts", "Workers that died.", facts.restarts)
        yield _gauge("config_generation", "How often the configuration has changed.", facts.generation)
        yield _gauge("config_last_reload_success", "Whether the last reload succeeded.", reloads.last_ok)
        yield _gauge("config_last_reload_timestamp_seconds", "When it was.", reloads.last_at or 0)
        family = counter("splicer_config_reloads", "Reloads.", labels=("result",))
        family.add(("ok",), reloads.ok)
        family.add(("failed",), reloads.failed)
        yield family
        yield _gauge("start_time_seconds", "When the edge was started.", self._started)
        info = gauge("splicer_build_info", "The program.", labels=("version",))
        info.add((__version__,), 1)
        yield info

    # What is not known is left out: 0 would say that it is over.
    async def _draining(self) -> list[Family]:
        family = gauge("splicer_drain_remaining_tunnels", "Tunnels that a drain waits for.", labels=("scope", "name"))
        if not self._facts.draining:
            family.add(("all", ""), 0)
        for entry in await self._drains.progress():
            if entry["remaining"] is not None:
                family.add((entry["scope"], entry["name"]), entry["remaining"])
        return [_gauge("draining", "Whether the whole edge is being drained.", self._facts.draining), family]


def _gauge(name: str, text: str, value: float) -> Family:
    return gauge(f"splicer_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Family:
    return counter(f"splicer_{name}", text, value)
