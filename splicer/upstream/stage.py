"""A stage of an attempt: it has a deadline of its own, and an error if that passes."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

import trio

from splicer.errors import AttemptsTimeout, ClientGone, PodError
from splicer.net.waits import Scope, Waits
from splicer.policy.deadlines import AttemptBudget


class Waiting(Protocol):
    """A request that waits for pods and can be given up."""

    scope: Scope | None
    """Around the present wait."""

    waits: Waits | None
    """Under which it waits; None: each stage has a scope of its own."""

    @property
    def budget(self) -> AttemptBudget:
        """The time for all attempts of the request."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the request was given up."""
        ...


class Stage:
    """A part of an attempt under its own deadline and the budget's; it ends early if the request is given up.

    Args:
        waiting: the request.
        seconds: the most that the stage may take.
        late: the error to raise after that.
        what: returns the name or endpoint that is being waited for, for the error's text.
    """

    __slots__ = ("_late", "_scope", "_waiting", "_what")

    def __init__(self, waiting: Waiting, seconds: float, late: type[PodError], what: Callable[[], object]) -> None:
        self._waiting = waiting
        self._late = late
        self._what = what
        now, waits = trio.current_time(), waiting.waits
        deadline = waiting.budget.until(seconds, now)
        self._scope = trio.CancelScope(deadline=deadline) if waits is None else waits.until(deadline, now)
        waiting.scope = self._scope

    def __enter__(self) -> Scope:
        return self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, trace)
        self._waiting.scope = None
        if not self._scope.cancelled_caught:
            return
        if self._waiting.gone:
            raise ClientGone("closed before its answer began") from None
        if self._waiting.budget.is_spent(trio.current_time()):
            raise AttemptsTimeout(f"{self._what()}: the time for all attempts is over") from None
        raise self._late(f"{self._what()}: no answer in time") from None
