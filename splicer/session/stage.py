"""One part of an attempt, and what its end means when it comes too early."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import trio

from splicer.errors import AttemptsTimeout, ClientGone, PodError
from splicer.policy.deadlines import AttemptBudget
from splicer.session.exchange import Exchange


class Stage:
    """A part of an attempt under its own deadline and the budget's; it ends early when the client leaves.

    Args:
        exchange: whose attempt it is.
        budget: of all attempts.
        seconds: that the part may take.
        late: what to raise when they are over.
        what: says who was being waited for.
    """

    __slots__ = ("_budget", "_exchange", "_late", "_scope", "_what")

    def __init__(
        self,
        exchange: Exchange,
        budget: AttemptBudget,
        seconds: float,
        late: type[PodError],
        what: Callable[[], object],
    ) -> None:
        self._exchange = exchange
        self._budget = budget
        self._late = late
        self._what = what
        self._scope = exchange.scope = trio.CancelScope(deadline=budget.until(seconds, trio.current_time()))

    def __enter__(self) -> trio.CancelScope:
        return self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, trace)
        self._exchange.scope = None
        if not self._scope.cancelled_caught:
            return
        if self._exchange.gone:
            raise ClientGone("closed before its answer began") from None
        if self._budget.is_spent(trio.current_time()):
            raise AttemptsTimeout(f"{self._what()}: the time for all attempts is over") from None
        raise self._late(f"{self._what()}: no answer in time") from None
