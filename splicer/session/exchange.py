"""One request on its way through the corridor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

import h11
import trio
from attrs import define, field

from splicer.errors import ClientGone, SplicerError
from splicer.http1.forwarded import Forwarding
from splicer.http1.writer import ResponseWriter
from splicer.model import Endpoint, Match, Record, RequestHead
from splicer.session.body import RequestBody
from splicer.session.client import ClientLeg
from splicer.session.house import House, Rules

T = TypeVar("T")

# An answer that comes within this time, in seconds, costs no second task to watch the client.
_PATIENCE = 0.02


@define
class Exchange:
    """What the steps of one request share.

    Args:
        written: a byte of the request was written to some pod.
        answered: the response head was sent to the client; what fails now can only cut the connection.
        nursery: where a request body is sent from; None without a body.
    """

    house: House
    rules: Rules
    client: ClientLeg
    head: RequestHead
    match: Match
    forwarding: Forwarding
    record: Record
    server: h11.Connection
    body: RequestBody
    writer: ResponseWriter = field(init=False)
    written: bool = False
    answered: bool = False
    _hold: ExitStack = field(factory=ExitStack, init=False)
    nursery: trio.Nursery | None = None

    def __attrs_post_init__(self) -> None:
        self.writer = ResponseWriter(self.server, self.head)

    def count_at(self, endpoint: Endpoint) -> None:
        """Count at this endpoint, and at no other."""
        self.release()
        self._hold.enter_context(self.house.balancer.hold(endpoint))

    def release(self) -> None:
        """No longer count at any endpoint."""
        self._hold.close()

    def take_hold(self) -> AbstractContextManager[object]:
        """Hand the count over to somebody who releases it by leaving it."""
        return self._hold.pop_all()

    async def unless_gone(self, read: Callable[[], Awaitable[T]]) -> T:
        """Do a cancellable `read` from the pod, and give up when the client leaves meanwhile.

        Raises:
            ClientGone: the client left first.
        """
        if self.nursery is not None:
            return await read()  # the body's task watches
        with trio.move_on_after(_PATIENCE):
            return await read()
        return await self._watched(read)

    async def _watched(self, read: Callable[[], Awaitable[T]]) -> T:
        outcome: list[T] = []
        failure: SplicerError = ClientGone("closed before its answer was complete")
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await self.client.gone()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                outcome.append(await read())
            except SplicerError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if outcome:
            return outcome[0]
        raise failure
