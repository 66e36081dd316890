"""The drains that a worker follows: the supervisor's, of the whole edge, and an operator's."""

from __future__ import annotations

from collections.abc import Callable

from splicer.ipc.facts import OperatorDrains
from splicer.session.context import SessionContext
from splicer.worker.drains import DrainOrders
from splicer.worker.newest import NewestOnly, Start

LAST_REQUEST_TIMEOUT = (
    5.0  # seconds for one more request on a connection that idles: one that is on its way is not lost
)


class Draining:
    """Keeps a worker's drains: that of the edge, and those of an operator.

    Args:
        context: the session's context, which follows them.
        orders: finds the addresses of drained pods.
        start: starts a task.
        done: called when the newest order has been followed.
        failed: called with the error if an order could not be followed.
    """

    def __init__(
        self,
        context: SessionContext,
        orders: DrainOrders,
        start: Start,
        done: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._context = context
        self._orders = orders
        self._failed = failed
        self._by_supervisor = self._by_operator = False
        self._newest = NewestOnly[OperatorDrains](start, self.follow, done)

    async def set_edge(self, *, draining: bool) -> None:
        """Begin or end the supervisor's drain of the whole edge; idle connections are ended soon during a drain."""
        self._by_supervisor = draining
        self._update()
        if draining:
            await self._context.idle.end_within(LAST_REQUEST_TIMEOUT)

    def ask(self, wanted: OperatorDrains) -> None:
        """Follow an operator's drains soon; they replace the ones before."""
        self._newest.ask(wanted)

    # Every worker that will ever start gets the drains that the supervisor keeps, so an error in them must end no
    # worker.
    async def follow(self, wanted: OperatorDrains) -> None:
        """Follow an operator's drains; returns when the addresses were looked up, or the lookup has failed."""
        try:
            self._by_operator = wanted.all is not None
            self._update()
            await self._orders.follow(wanted)
        except Exception as error:  # noqa: BLE001 - it is logged
            self._failed(error)

    def _update(self) -> None:
        self._context.draining = self._by_supervisor or self._by_operator
