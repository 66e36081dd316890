"""All handlers of the admin address, and those of the scraper's address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from splicer import __version__
from splicer.admin.current_config import CurrentConfig
from splicer.admin.discovered import Discovered
from splicer.admin.dispatch import Handler, Page, Request, Table, in_json
from splicer.admin.drain_api import DrainApi, iso
from splicer.admin.events import QUERY, Events
from splicer.admin.page import asset, page
from splicer.admin.status import worker_rows
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
from splicer.ipc.board import Board, Column
from splicer.ipc.endpoint_memory import EndpointMemory
from splicer.ipc.queries import AskEndpoints
from splicer.model import Respond
from splicer.upstream.snapshot import EndpointSnapshot

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
        events: the stream of the dashboard.
        operated: called with what an operator does: the action, its object, and from which address.
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
        events: Events,
        operated: Callable[[str, str, str], None],
    ) -> None:
        self._board = board
        self._facts = facts
        self._workers = workers
        self._current = current
        self._drains = drains
        self._scrape = scrape
        self._tls = tls
        self._events = events
        self._operated = operated
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
            "/tunnels/{id}": {"DELETE": Page(self._told("close", tunnels.close))},
            "/drain": {
                "GET": Page(drains.show),
                "POST": Page(self._told("drain", drains.begin), body=_DRAIN),
                "DELETE": Page(self._told("undrain", drains.lift), body=_DRAIN),
            },
            "/": _get(self._page),
            "/ui/{id}": _get(asset),
            "/events": _get(self._events.open, *QUERY),
            "/config": _get(self._config),
            "/upstreams": _get(self._upstreams),
            "/certificates": _get(self._certificates),
            "/explain": _get(self._explain, "method", "target", "header"),
        }

    @property
    def for_scraper(self) -> Table:
        """The handlers that anybody may use."""
        return {"/healthz": {"GET": Page(_healthz, at_once=True)}, "/metrics": _get(self._metrics)}

    # What was refused has changed nothing, and is not told.
    def _told(self, action: str, handle: Callable[[Request], Awaitable[Respond]]) -> Handler:
        async def told(asked: Request) -> Respond:
            answer = await handle(asked)
            self._operated(action, _object(asked), asked.client)
            return answer

        return told

    async def _page(self, asked: Request) -> Respond:
        config = self._current.now
        return page(asked, shown=config is None or config.server.dashboard)

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
            "workers": worker_rows(board, self._workers),
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


def _object(asked: Request) -> str:
    """What an operator's request is about: a tunnel's id, "pod NAME", "route NAME" or "all"."""
    if asked.body:
        return " ".join(f"{scope} {name}" for scope, name in sorted(asked.body.items()))[:200]
    return asked.part if asked.body is None and asked.part not in ("", "drain") else "all"


async def _healthz(_: Request) -> Respond:
    return Respond(200, b"ok\n")


def _get(handle: Handler, *query: str) -> Mapping[str, Page]:
    return {"GET": Page(handle, frozenset(query))}
