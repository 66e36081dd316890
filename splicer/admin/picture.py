"""The state of the edge as the dashboard draws it: listeners, routes, upstreams, pods, workers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import trio

from splicer import __version__
from splicer.admin.current_config import CurrentConfig
from splicer.admin.discovered import Discovered
from splicer.admin.drain_api import DrainApi, iso
from splicer.admin.rates import Window, look
from splicer.admin.status import worker_rows
from splicer.admin.supervisor_status import SupervisorStatus
from splicer.admin.tallies import Tallies
from splicer.admin.tls_state import TlsState
from splicer.admin.upstreams import listed
from splicer.admin.uptime import uptime
from splicer.admin.workers import Answers, Workers
from splicer.config.schema import Config
from splicer.ipc.board import Board
from splicer.ipc.endpoint_memory import EndpointMemory
from splicer.ipc.queries import AskEndpoints, EndpointRow, PlaceRow
from splicer.model import Route, authority
from splicer.upstream.snapshot import EndpointSnapshot

_MOST_PODS = 1000  # of an upstream


class Picture:
    """Makes the state.

    Args:
        board: the board.
        facts: the supervisor's last facts.
        workers: asked for live data.
        current: the configuration in force.
        drains: gives the drains.
        tls: knows of certificates and tls processes.
        tallies: reads what all processes have counted.
    """

    def __init__(
        self,
        board: Board,
        facts: SupervisorStatus,
        workers: Workers,
        current: CurrentConfig,
        drains: DrainApi,
        tls: TlsState,
        tallies: Tallies,
    ) -> None:
        self._board = board
        self._facts = facts
        self._workers = workers
        self._current = current
        self._drains = drains
        self._tls = tls
        self._tallies = tallies
        self._snapshot = EndpointSnapshot(EndpointMemory(board.endpoints))
        self._window = Window()

    def forget(self) -> None:
        """Forget the last looks: nobody has asked for a while."""
        self._window.clear()
        self._tallies.forget()

    async def state(self, places: Answers[PlaceRow]) -> dict[str, Any]:
        """The state now; rates are those of the last ten seconds in which it was asked for.

        Args:
            places: where the calls are.
        """
        config = self._current.now
        endpoints = (await self._workers.ask(AskEndpoints)).rows
        drains = await self._drains.progress()
        self._window.add(look(trio.current_time(), self._tallies()))
        ways, live = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for place in places.rows:
            ways[place.route, place.upstream] += place.tunnels
            live[place.upstream, place.endpoint] += place.tunnels
        return {
            **self._edge(drains),
            "missing_workers": places.missing,
            "routes": [] if config is None else [self._route(route, ways, drains) for route in config.routes],
            "upstreams": [] if config is None else list(self._upstreams(config, endpoints, live, drains)),
            "listeners": [] if config is None else _listeners(config),
        }

    def _edge(self, drains: list[dict[str, Any]]) -> dict[str, Any]:
        facts, reloads = self._facts.now, self._facts.now.reloads
        return {
            "at": iso(time.time()),
            "version": __version__,
            "generation": facts.generation,
            "uptime_s": round(uptime()),
            "draining": self._facts.draining,
            "drains": drains,
            "connections": self._board.connections,
            "reload": {"ok": reloads.last_ok, "at": iso(reloads.last_at), "faults": list(reloads.faults)},
            "restarts": facts.restarts,
            "workers": worker_rows(self._board, self._workers),
            "tls": self._tls.processes(),
            "certificates": self._tls.certificates(),
        }

    def _route(self, route: Route, ways: Counter[tuple[str, str]], drains: list[dict[str, Any]]) -> dict[str, Any]:
        name, window = route.name, self._window
        p50, p99 = (window.quantile(name, share) for share in (0.5, 0.99))
        return {
            "name": name,
            "pattern": route.pattern.text,
            "answers": route.upstream is None,
            "upstreams": _shares(route, ways),
            "fallback": None if route.fallback is None else route.fallback.name,
            "fallback_live": 0 if route.fallback is None else ways[name, route.fallback.name],
            "rate": window.per_second("requests", name),
            "errors": window.per_second("errors", name),
            "fallbacks": window.per_second("fallbacks", name),
            "p50_ms": None if p50 is None else round(p50 * 1000, 3),
            "p99_ms": None if p99 is None else round(p99 * 1000, 3),
            "live": sum(count for (its, _), count in ways.items() if its == name),
            "drained": _is_drained("route", name, drains),
        }

    def _upstreams(
        self,
        config: Config,
        rows: list[EndpointRow],
        live: Counter[tuple[str, str]],
        drains: list[dict[str, Any]],
    ) -> Iterator[dict[str, Any]]:
        routes = [route.name for route in config.routes]
        for each in listed(config, rows, Discovered(self._snapshot, config)):
            pods = each["endpoints"][:_MOST_PODS]
            yield {
                "name": each["name"],
                "address": each["address"],
                "failures": self._window.per_second("failures", each["name"]),
                "more": len(each["endpoints"]) - len(pods),
                "pods": [self._pod(pod, each["name"], live, routes, drains) for pod in pods],
            }

    # An endpoint's own count is of all upstreams that lead to it: each line of the picture has its upstream's calls.
    def _pod(
        self,
        pod: dict[str, Any],
        upstream: str,
        live: Counter[tuple[str, str]],
        routes: list[str],
        drains: list[dict[str, Any]],
    ) -> dict[str, Any]:
        endpoint = authority(pod["address"], pod["port"])
        return {
            "name": pod["pod"],
            "endpoint": endpoint,
            "state": pod["state"],
            "since_s": pod["since_s"],
            "live": live[upstream, endpoint],
            "requests": pod["requests"],
            "failure": pod["failure"],
            "calls": self._window.per_second("calls", *((route, pod["pod"]) for route in routes)),
            "drained": _is_drained("pod", pod["pod"], drains),
        }


def _shares(route: Route, ways: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    if route.split is not None:
        shares = [(upstream.name, weight) for upstream, weight in route.split.shares]
    else:
        shares = [] if route.upstream is None else [(route.upstream.name, 1)]
    return [{"name": name, "weight": weight, "live": ways[route.name, name]} for name, weight in shares]


def _listeners(config: Config) -> list[dict[str, Any]]:
    return [
        {
            "address": str(listener.address),
            "tls": listener.tls,
            "proxy_protocol": bool(listener.proxy_protocol),
            "passthrough": listener.passthrough,
        }
        for listener in config.server.listen
    ]


def _is_drained(scope: str, name: str, drains: list[dict[str, Any]]) -> bool:
    return any(drain["scope"] == scope and drain["name"] == name for drain in drains)
