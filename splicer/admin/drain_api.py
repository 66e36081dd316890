"""Operators' drains: of the whole edge, a pod, or a route."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import trio

from splicer.admin.current_config import CurrentConfig
from splicer.admin.dispatch import Refused, Request, in_json
from splicer.admin.drain_targets import DrainTargets, scope_of
from splicer.admin.supervisor_status import SupervisorStatus
from splicer.admin.tunnels import address_of
from splicer.admin.workers import Answers, Workers
from splicer.ipc.board import Board
from splicer.ipc.codec import to_json
from splicer.ipc.facts import OperatorDrains
from splicer.ipc.messages import AdminOrder, AdminReport, WantDrains
from splicer.ipc.queries import AskCounts, AskTunnels
from splicer.ipc.supervisor_channel import SupervisorChannel
from splicer.model import Respond

_CONFIRM_TIMEOUT = 5.0  # seconds for all workers to follow; a request may take ten, and has used some before
_MOST_BYTES = 32 * 1024  # of all drains together, as JSON: they must fit into a packet (ipc.wire)


class DrainApi:
    """Handlers for drains.

    The supervisor keeps the drains, because it outlives this process. A change is sent to it, and is complete when the
    supervisor's facts show it: by then all workers follow it.

    Args:
        supervisor: keeps the drains.
        facts: the supervisor's last facts.
        workers: asked for the remaining tunnels.
        current: the configuration in force.
        board: the board.
    """

    def __init__(
        self,
        supervisor: SupervisorChannel[AdminOrder, AdminReport],
        facts: SupervisorStatus,
        workers: Workers,
        current: CurrentConfig,
        board: Board,
    ) -> None:
        self._supervisor = supervisor
        self._facts = facts
        self._workers = workers
        self._current = current
        self._board = board
        self._drainable = DrainTargets(workers, current)
        self._lock = trio.Lock()
        self._told: OperatorDrains | None = None  # a change that the facts don't show yet

    async def show(self, _: Request) -> Respond:
        """All drains, and the numbers of remaining tunnels."""
        return in_json({"drains": await self.progress()})

    async def begin(self, asked: Request) -> Respond:
        """Begin a drain; one that exists already stays.

        Raises:
            BadRequest: the body names nothing that can be drained.
            Refused: the pod or route is unknown, or the supervisor does not confirm the drain.
        """
        scope, name = scope_of(asked.body)
        await self._drainable.check(scope, name)
        now = round(time.time(), 3)

        def add(drains: OperatorDrains) -> OperatorDrains:
            match scope:
                case "pod":
                    return replace(drains, pods={**drains.pods, name: drains.pods.get(name, now)})
                case "route":
                    return replace(drains, routes={**drains.routes, name: drains.routes.get(name, now)})
            return replace(drains, all=drains.all or now)

        await self._change(add)
        return await self.show(asked)

    async def lift(self, asked: Request) -> Respond:
        """End a drain, if there is one.

        Raises:
            BadRequest: the body names nothing that can be drained.
            Refused: the drain can't be lifted, the pod or route is unknown, or the supervisor does not confirm it.
        """
        scope, name = scope_of(asked.body)
        if scope == "all" and self._facts.now.draining:
            raise Refused(409, "the supervisor drains for a SIGTERM: that can't be lifted")
        drains = self._facts.drains
        if (scope == "pod" and name not in drains.pods) or (scope == "route" and name not in drains.routes):
            await self._drainable.check(scope, name)

        def remove(drains: OperatorDrains) -> OperatorDrains:
            match scope:
                case "pod":
                    return replace(drains, pods=_without(drains.pods, name))
                case "route":
                    return replace(drains, routes=_without(drains.routes, name))
            return replace(drains, all=None)

        await self._change(remove)
        return await self.show(asked)

    # The next change includes one that was sent but not confirmed: it may be in force already.
    async def _change(self, change: Callable[[OperatorDrains], OperatorDrains]) -> None:
        async with self._lock:
            wanted = change(self._told or self._facts.drains)
            if len(to_json(wanted)) > _MOST_BYTES:
                raise Refused(409, "too much is drained already: lift something first")
            if self._told is None and wanted == self._facts.drains:
                return
            self._told = wanted
            self._supervisor.reply(WantDrains(wanted))
            with trio.move_on_after(_CONFIRM_TIMEOUT):
                await self._facts.until(lambda: self._facts.drains == wanted)
                self._told = None
                return
            raise Refused(504, f"not all workers have confirmed it within {_CONFIRM_TIMEOUT:g} s; they still may")

    async def progress(self) -> list[dict[str, Any]]:
        """Each drain with its start and the number of remaining tunnels; None while that is unknown."""
        drains = self._facts.drains
        entries = []
        if self._facts.draining:
            entries.append(_entry("all", "", drains.all, self._everywhere()))
        if drains.pods:
            remaining = await self._on_pods(drains.pods)
            entries += [_entry("pod", name, since, remaining[name]) for name, since in drains.pods.items()]
        if drains.routes:
            counts = await self._on_routes()
            for name, since in drains.routes.items():
                entries.append(_entry("route", name, since, None if counts is None else counts[name]))
        return entries

    # Invariant: 0 is never reported while there may be tunnels, because a pod or edge may be deleted at 0. Tunnels on
    # their way to another worker are only in the vault.
    def _is_whole(self, answers: Answers[Any], listed: int) -> bool:
        wanted = self._facts.now.workers
        if answers.missing or len(self._workers.pids) < wanted:
            return False
        return self._workers.settled(wanted) or listed >= self._board.vaulted

    def _everywhere(self) -> int | None:
        all_there = len(self._workers.pids) >= self._facts.now.workers
        return self._board.remaining if all_there else None

    async def _on_routes(self) -> Counter[str] | None:
        answers = await self._workers.ask(AskCounts)
        counts: Counter[str] = Counter()
        for row in answers.rows:
            for route, _, count in row.tunnels:
                counts[route] += count
        return counts if self._is_whole(answers, counts.total()) else None

    # A pod may have tunnels under other names, for example that of a service. They count too.
    async def _on_pods(self, pods: Iterable[str]) -> dict[str, int | None]:
        answers = await self._workers.ask(AskTunnels)
        if not self._is_whole(answers, len(answers.rows)):
            return dict.fromkeys(pods)
        addresses: dict[str, frozenset[str]] = {}

        async def find(pod: str) -> None:
            addresses[pod] = await self._current.addresses(pod)

        async with trio.open_nursery() as nursery:
            for pod in pods:
                nursery.start_soon(find, pod)
        places = Counter((row.pod, address_of(row.endpoint)) for row in answers.rows)
        return {
            pod: sum(count for place, count in places.items() if pod in place or place[1] in addresses[pod])
            for pod in pods
        }


def _without(names: Mapping[str, float], name: str) -> dict[str, float]:
    return {each: since for each, since in names.items() if each != name}


def _entry(scope: str, name: str, since: float | None, remaining: int | None) -> dict[str, Any]:
    return {"scope": scope, "name": name, "since": iso(since), "remaining": remaining}


def iso(seconds: float | None) -> str | None:
    """A unix time in seconds, formatted as in the log (RFC 3339)."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
