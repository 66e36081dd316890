"""All handlers of the admin address, and those of the scraper's address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from splicer import __version__
from splicer.admin.current_config import CurrentConfig
from splicer.admin.discovered import Discovered
from splicer.admin.dispatch import Handler, Page, Request, Table, in_json
from splicer.admin.drain_api import DrainApi, iso
from splicer.admin.supervisor_status import SupervisorStatus
from splicer.admin.tls_state import TlsState
from splicer.admin.tunnels import Tunnels
from splicer.admin.upstreams import listed
from splicer.admin.uptime import uptime
from splicer.admin.workers import Workers
from splicer.config.dump import as_tables
from splicer.config.tracing import without_secrets
from splicer.errors import BadRequest
from splicer.explain import explain
from splicer.ipc.board import ROWS, Board, Column
from splicer.ipc.endpoint_memory import EndpointMemory
from splicer.ipc.queries import AskEndpoints
from splicer.model import Respond
from splicer.upstream.snapshot import EndpointSnapshot

_PLACES = (Column.READING, Column.WRITING, Column.WAITING)  # every open connection stands in one of these
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format
_DRAIN = frozenset({"pod", "route"})

Scraping = Callable[[], Awaitable[bytes]]


class Handlers:
    """The handlers, by path and method.

    Args:
        board: the board.
        facts: the supervisor's last facts.
        workers: asked for live data.
        current: the configuration in force.
        drains: the drain API.
        scrape: makes the text for Prometheus.
        tls: knows of certificates and tls processes.
    """

    def __init__(
        self,
        board: Board,
        facts: SupervisorStatus,
        workers: Workers,
        current: CurrentConfig,
        drains: DrainApi,
        scrape: Scraping,
        tls: TlsState,
    ) -> None:
        self._board = board
        self._facts = facts
        self._workers = workers
        self._current = current
        self._drains = drains
        self._scrape = scrape
        self._tls = tls
        self._tunnels = Tunnels(workers, facts)
        self._snapshot = EndpointSnapshot(EndpointMemory(board.endpoints))

    @property
    def for_operators(self) -> Table:
        """All handlers."""
        drains, tunnels = self._drains, self._tunnels
        return {
            **self.for_scraper,
            "/status": _get(self._status),
            "/tunnels": _get(tunnels.show, "route", "pod"),
            "/tunnels/{id}": {"DELETE": Page(tunnels.close)},
            "/drain": {
                "GET": Page(drains.show),
                "POST": Page(drains.begin, body=_DRAIN),
                "DELETE": Page(drains.lift, body=_DRAIN),
            },
            "/config": _get(self._config),
            "/upstreams": _get(self._upstreams),
            "/certificates": _get(self._certificates),
            "/explain": _get(self._explain, "method", "target", "header"),
        }

    @property
    def for_scraper(self) -> Table:
        """The handlers that anybody may use."""
        return {"/healthz": {"GET": Page(_healthz, at_once=True)}, "/metrics": _get(self._metrics)}

    async def _metrics(self, _: Request) -> Respond:
        return Respond(200, await self._scrape(), _EXPOSITION)

    async def _config(self, _: Request) -> Respond:
        return in_json(without_secrets(as_tables(await self._current.config())))

    async def _upstreams(self, _: Request) -> Respond:
        config = await self._current.config()
        answers = await self._workers.ask(AskEndpoints)
        discovered = Discovered(self._snapshot, config)
        return in_json({"upstreams": listed(config, answers.rows, discovered), "missing_workers": answers.missing})

    async def _certificates(self, _: Request) -> Respond:
        return in_json({"certificates": self._tls.certificates()})

    async def _explain(self, asked: Request) -> Respond:
        target = asked.one("target")
        if target is None:
            raise BadRequest("the target is missing: /explain?target=/path")
        config = await self._current.config()
        explanation = explain(config, asked.one("method") or "GET", target, asked.query.get("header", []))
        return in_json({"found": explanation.found, "lines": explanation.lines})

    async def _status(self, _: Request) -> Respond:
        facts, board = self._facts.now, self._board
        reloads = facts.reloads
        status: dict[str, Any] = {
            "version": __version__,
            "generation": facts.generation,
            "uptime_s": round(uptime(), 3),
            "draining": self._facts.draining,
            "drains": await self._drains.progress(),
            "remaining": board.remaining,
            "workers": sorted(_workers(board, self._workers), key=lambda worker: worker["slot"]),
            "totals": {
                "accepted": board.total(Column.ACCEPTED),
                "handled": board.total(Column.HANDLED),
                "requests": board.total(Column.REQUESTS),
                "active": board.connections,
                "tunnels": board.total(Column.TUNNELS),
            },
            "config": {
                "last_reload": {"ok": reloads.last_ok, "at": iso(reloads.last_at)},
                "reloads": {"ok": reloads.ok, "failed": reloads.failed},
            },
            "restarts": facts.restarts,
        }
        if processes := self._tls.processes():
            status["tls"] = {
                "processes": processes,
                "restarts": facts.tls_restarts,
                "certificates": self._tls.certificates(),
            }
        return in_json(status)


async def _healthz(_: Request) -> Respond:
    return Respond(200, b"ok\n")


def _get(handle: Handler, *query: str) -> Mapping[str, Page]:
    return {"GET": Page(handle, frozenset(query))}


# The spare and this process have a row too, but no slot. While a slot has two processes, their rows don't have the
# pids, nor the mover if it isn't the same.
def _workers(board: Board, workers: Workers) -> Iterator[dict[str, Any]]:
    pids, movers = workers.pids, workers.movers
    rows = [row for row in map(board.row, range(1, ROWS)) if row[Column.SLOT]]
    of_slot = Counter(row[Column.SLOT] for row in rows)
    for row in rows:
        slot = row[Column.SLOT]
        known = pids.get(slot, [])
        pid: dict[str, Any] = {"pid": known[0]} if of_slot[slot] == len(known) == 1 else {}
        moved_by = [mover for its, mover in movers if its == slot]
        mover: dict[str, Any] = {"mover": moved_by[0]} if len(moved_by) == 1 else {}
        yield {
            "slot": slot,
            **pid,
            "tunnels": row[Column.TUNNELS],
            "exchanges": row[Column.EXCHANGES],
            "connections": sum(row[place] for place in _PLACES),
            **mover,
        }
