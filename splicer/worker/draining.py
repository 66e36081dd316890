"""Whether the edge is drained, by the supervisor or by an operator, and what is drained of it."""

from __future__ import annotations

from collections.abc import Callable

from splicer.ipc.wire import Message
from splicer.session.context import SessionContext
from splicer.worker.drains import DrainOrders
from splicer.worker.newest import NewestOnly, Start

LAST_REQUEST_TIMEOUT = (
    5.0  # seconds for one more request on a connection that idles: one that is on its way is not lost
)


class Draining:
    """Keeps a worker's drains, from wherever they come.

    Args:
        context: goes by them.
        orders: knows the addresses of drained pods.
        start: starts a task.
        done: is called when the newest order has been followed.
        failed: is told of an order that was not.
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
        self._newest = NewestOnly[Message](start, self.follow, done)

    async def set_edge(self, *, draining: bool) -> None:
        """The supervisor drains the whole edge, or doesn't; no connection idles for long while it does."""
        self._by_supervisor = draining
        self._update()
        if draining:
            await self._context.idle.end_within(LAST_REQUEST_TIMEOUT)

    def ask(self, wanted: Message) -> None:
        """Have an operator's drains followed soon; they replace the ones before."""
        self._newest.ask(wanted)

    # What the supervisor keeps comes to every worker that will ever start: it may not end one.
    async def follow(self, wanted: Message) -> None:
        """Follow an operator's drains; done when the addresses are known, or can't be."""
        try:
            self._by_operator = wanted["all"] is not None
            self._update()
            await self._orders.follow(wanted)
        except Exception as error:  # noqa: BLE001 - it is told of
            self._failed(error)

    def _update(self) -> None:
        self._context.draining = self._by_supervisor or self._by_operator
