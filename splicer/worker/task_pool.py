"""Tasks that serve one connection after another: to start and end a task takes as long as to parse a request head."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from splicer.worker.newest import Start

_MOST = 64  # idle tasks that are kept

Serve = Callable[..., Awaitable[object]]
_Job = tuple[Serve, tuple[Any, ...]]


class TaskPool:
    """Runs each connection in a task of its own, as a nursery does; a task whose connection is over takes another one.

    Args:
        start: starts a task.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._idle: list[_Idle] = []

    @property
    def idle(self) -> int:
        """The number of tasks that have nothing to do."""
        return len(self._idle)

    def start_soon(self, serve: Serve, *arguments: Any) -> None:
        """As `trio.Nursery.start_soon`."""
        if self._idle:
            idle = self._idle.pop()
            idle.job = serve, arguments
            trio.lowlevel.reschedule(idle.task)
        else:
            self._start(self._run, serve, arguments)

    # Invariant: an idle task refers to nothing of a connection.
    async def _run(self, serve: Serve, arguments: tuple[Any, ...]) -> None:
        job: _Job | None = serve, arguments
        del serve, arguments
        while job is not None:
            await job[0](*job[1])
            job = None
            if len(self._idle) < _MOST:
                job = await self._next()

    async def _next(self) -> _Job | None:
        idle = _Idle(trio.lowlevel.current_task())
        self._idle.append(idle)

        def abort(_: object) -> trio.lowlevel.Abort:
            self._idle.remove(idle)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        return idle.job


class _Idle:
    __slots__ = ("job", "task")

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task = task
        self.job: _Job | None = None
