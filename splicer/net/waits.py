"""Waits of one task, one after another, under one cancel scope; and the timers that end those that take too long.

A scope of Trio's for each wait, with its deadline in a heap, takes a tenth of a request's time, and nearly every wait
ends long before its deadline.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from itertools import count
from types import TracebackType
from typing import Protocol

import trio

_FEW = 1000  # entries that are of no use and stay in the heap


class Scope(Protocol):
    """What is around a wait, and can end it: a `trio.CancelScope`, or `Waits`."""

    deadline: float
    """On Trio's clock, seconds."""

    def cancel(self) -> None:
        """End it."""


class Timers:
    """The deadlines of `Waits`.

    A deadline that is moved to a later time costs nothing: its entry stays in the heap until the earlier time, and is
    entered again then. Before `run` is started, and after its end, each wait has a scope with a deadline of its own.
    """

    def __init__(self) -> None:
        self.runs = False
        self._heap: list[tuple[float, int, Waits]] = []
        self._useless = 0  # entries whose waits have another entry, or are closed
        self._order = count()
        self._next = math.inf  # when the task wakes
        self._sleep = trio.CancelScope()

    def __len__(self) -> int:
        return len(self._heap)

    async def run(self) -> None:
        """Cancel waits whose deadline has passed; until cancelled."""
        self.runs = True
        try:
            while True:
                self._next = self._first()
                with trio.CancelScope(deadline=self._next) as self._sleep:
                    await trio.sleep_forever()
                self._expire(trio.current_time())
        finally:
            self.runs = False
            for when, _, waits in self._heap:
                if waits.entered == when:
                    waits.leave_timers()
            self._heap.clear()

    def enter(self, waits: Waits, when: float) -> None:
        """Have `waits.expire` called at this time, on Trio's clock, in place of any other time."""
        self.forget(waits)
        waits.entered = when
        heappush(self._heap, (when, next(self._order), waits))
        if when < self._next:
            self._next = self._sleep.deadline = when

    def forget(self, waits: Waits) -> None:
        """Don't call `waits.expire`."""
        if waits.entered == math.inf:
            return
        waits.entered = math.inf
        self._useless += 1
        if self._useless > _FEW and self._useless > len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if entry[2].entered == entry[0]]
            heapify(self._heap)
            self._useless = 0

    # Entries of no use are dropped before the sleep: to wake up for each would cost live calls as much as their frames.
    def _first(self) -> float:
        while self._heap:
            when, _, waits = self._heap[0]
            if waits.entered == when:
                return when
            heappop(self._heap)
            self._useless -= 1
        return math.inf

    def _expire(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            when, _, waits = heappop(self._heap)
            if waits.entered == when:
                waits.entered = math.inf
                waits.expire(now)
            else:
                self._useless -= 1


class Waits:
    """The waits of one task, as a context manager that is entered once for each of them.

    No other scope may be opened before a wait and closed after it, unless it is opened before the first wait and closed
    after `close`.

    Args:
        timers: have the deadlines.
    """

    __slots__ = ("_cancelled", "_deadline", "_scope", "_timers", "cancelled_caught", "entered")

    def __init__(self, timers: Timers) -> None:
        self.cancelled_caught = False  # whether the last wait was ended by its deadline or `cancel`
        self.entered = math.inf  # the time at which `timers` call `expire`
        self._timers = timers
        self._scope: trio.CancelScope | None = None
        self._deadline = math.inf  # of the present wait
        self._cancelled = False  # the scope was cancelled: it can't serve another wait

    def until(self, deadline: float, now: float) -> Waits:
        """Prepare the next wait, which is the block that enters this object.

        Args:
            deadline: of the wait, on Trio's clock, seconds.
            now: the time, on the same clock.
        """
        scope = self._scope
        if scope is None:
            scope = self._scope = trio.CancelScope(deadline=math.inf if self._timers.runs else deadline)
            scope.__enter__()
        elif not self._timers.runs:
            scope.deadline = deadline
        self._deadline = deadline
        if deadline <= now:
            self.cancel()
        elif deadline < self.entered and self._timers.runs:
            self._timers.enter(self, deadline)
        return self

    def __enter__(self) -> Waits:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._deadline = math.inf
        scope = self._scope
        assert scope is not None  # noqa: S101 - `until` has made it
        if not self._cancelled and scope.deadline == math.inf and self._timers.runs:
            self.cancelled_caught = False
            return False
        self._scope, self._cancelled = None, False
        scope.__exit__(kind, error, trace)
        self.cancelled_caught = scope.cancelled_caught
        return self.cancelled_caught

    @property
    def deadline(self) -> float:
        """Of the present wait, on Trio's clock, seconds; it may be moved."""
        return self._deadline

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        self._deadline = deadline
        if self._scope is None:
            return
        if self._scope.deadline != math.inf or not self._timers.runs:
            self._scope.deadline = deadline
        elif deadline <= trio.current_time():
            self.cancel()
        elif deadline < self.entered:
            self._timers.enter(self, deadline)

    def cancel(self) -> None:
        """End the present wait."""
        if self._scope is not None:
            self._cancelled = True
            self._scope.cancel()

    def expire(self, now: float) -> None:
        """Called by the timers: end the present wait if its time is over."""
        if self._deadline <= now:
            self.cancel()
        elif self._deadline < math.inf:
            self._timers.enter(self, self._deadline)

    def leave_timers(self) -> None:
        """The timers end: the present wait has a deadline of Trio's."""
        self.entered = math.inf
        if self._scope is not None:
            self._scope.deadline = self._deadline

    def close(self) -> None:
        """Close the scope; another wait would open another one."""
        self._timers.forget(self)
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.__exit__(None, None, None)
