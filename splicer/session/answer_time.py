"""The deadlines of plain HTTP: of a whole exchange, and between two pieces of its answer."""

from __future__ import annotations

import trio

from splicer.errors import BodyTimeout, ClientGone, ClientStalled, ResponseStalled, ResponseTimeout, SplicerError
from splicer.model import Deadlines
from splicer.session.exchange import Exchange


class AnswerTime:
    """The time of one exchange; `scope` is around it, or around the part of it that has no other deadline.

    There is one scope for both deadlines, moved with each piece: a scope for every piece would cost more than the move.

    Args:
        deadlines: the route's; `response` begins now, `response_idle` with the first call of `awaits_pod` or
            `awaits_client`.
    """

    __slots__ = ("_client", "_deadlines", "_ends", "runs", "scope")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._ends = trio.current_time() + deadlines.response
        self._client = False  # the client is being waited for
        self.scope = trio.CancelScope(deadline=self._ends)
        self.runs = False  # `scope` is around the whole exchange

    def awaits_pod(self) -> None:
        """The next piece of the pod's answer is awaited."""
        self._client = False
        self._move()

    def awaits_client(self) -> None:
        """The client is to take a piece."""
        self._client = True
        self._move()

    def pod_took(self) -> None:
        """The pod has taken a piece of the request: it may be waiting for the rest before it goes on to answer."""
        if not self._client:
            self._move()

    def _move(self) -> None:
        self.scope.deadline = min(self._ends, trio.current_time() + self._deadlines.response_idle)

    def error(self, exchange: Exchange) -> SplicerError:
        """Why the scope was cancelled."""
        if exchange.connector.gone:
            return ClientGone("closed before its answer was complete")
        if trio.current_time() < self._ends:
            seconds = self._deadlines.response_idle
            if self._client:
                return ClientStalled(f"took nothing of its answer for {seconds:g} s")
            return ResponseStalled(f"nothing of the answer came for {seconds:g} s")
        seconds = self._deadlines.response
        if exchange.body.waiting and not exchange.answered:
            return BodyTimeout(f"the request body did not come within {seconds:g} s")
        return ResponseTimeout(f"the exchange was not complete within {seconds:g} s")
