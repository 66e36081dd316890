"""The request body on its way from the client to the pod: streamed, never held whole."""

from __future__ import annotations

from collections.abc import Callable

import trio

from splicer.edits import HeaderEdits
from splicer.errors import BodyTimeout, BodyTooLarge, ClientError, ClientGone, PodReset
from splicer.http1.body import BodyReader
from splicer.model import Headers, RequestHead
from splicer.session.client import ClientLeg
from splicer.session.turns import Turns, Work
from splicer.upstream.pod import PodLeg

_KEEP = 64 * 1024  # bytes: a body up to this size is kept, and can be sent to another pod


class RequestBody:
    """One request's body.

    It is sent concurrently with the exchange, and may be sent again to another pod while it is `repeatable`. If the
    client breaks a rule, the exchange is cancelled and `fault` has the error.

    Args:
        client: sends the body.
        head: of the request.
        reader: of the body.
        limit: the most bytes that it may have; None is unlimited.
        idle: `deadlines.body_idle`, seconds.
        turns: for the parsing of the body.
        edits: what the route changes in the request's fields: no trailer brings them back.
    """

    def __init__(
        self,
        client: ClientLeg,
        head: RequestHead,
        reader: BodyReader,
        limit: float | None,
        idle: float,
        turns: Turns,
        edits: HeaderEdits | None = None,
    ) -> None:
        self._client = client
        self._reader = reader
        self._limit = limit
        self._idle = idle
        self._turns = turns
        self._edits = edits
        self._kept: list[bytes] = []
        self._size = 0  # bytes read from the client
        self._trailers: Headers = ()
        self._sending: trio.CancelScope | None = None
        self.complete = self.delivered = not head.has_body  # read from the client, and written to the pod, as a whole
        self.repeatable = True
        self.answered = False  # the first bytes of a final answer have arrived
        self.asked_for = False  # by a 100
        expect = head.values(b"expect")
        self._expects = bool(expect) and head.version == "1.1" and b"100-continue" in b",".join(expect).lower()
        self._heard = False  # a byte of it has arrived
        self.sent = 0  # bytes written in the last attempt
        self.waiting = False  # for the client
        self.progress: Callable[[], None] | None = None  # called with each piece that the pod has taken
        self.fault: ClientError | None = None

    @property
    def is_withheld(self) -> bool:
        """Whether the client may be waiting for a 100 before it sends the body (RFC 9110 §10.1.1)."""
        return self._expects and not (self.asked_for or self._heard)

    def start(self, nursery: trio.Nursery, leg: PodLeg, when_sent: Callable[[], None]) -> None:
        """Send the body to one pod, concurrently with the exchange.

        Args:
            nursery: of the exchange; it is cancelled if the client breaks a rule.
            leg: the pod.
            when_sent: called when the last byte has been sent, or the pod takes no more.
        """
        sending = self._sending = trio.CancelScope()
        nursery.start_soon(self._run, leg, sending, when_sent, nursery.cancel_scope)

    def stop(self) -> None:
        """Stop sending: the attempt failed, or the answer is complete."""
        if self._sending is not None:
            self._sending.cancel()

    async def _run(
        self, leg: PodLeg, scope: trio.CancelScope, when_sent: Callable[[], None], exchange: trio.CancelScope
    ) -> None:
        with scope:
            await trio.lowlevel.checkpoint()  # it may have been stopped before it started
            try:
                await self._send(leg)
            except PodReset:
                pass  # the pod's answer, sent before it stopped reading, is read by the exchange
            except ClientError as error:
                self.fault = error
                exchange.cancel()
                return
            if not scope.cancel_called:
                when_sent()

    # A pod may answer the moment it has the last byte: by then the body must be known to be complete and delivered,
    # or both connections would be closed for nothing.
    async def _send(self, leg: PodLeg) -> None:
        self.sent = position = 0
        self.waiting = self.delivered = False
        while not self.delivered:
            data = b""
            if position < len(self._kept):
                data = self._kept[position]
                position += 1
            elif not self.complete:
                data = await self._read()
                position = len(self._kept)
            last = self.complete and position == len(self._kept)
            framed = leg.parser.body(data) if data else b""
            await leg.send_all(framed + leg.parser.end_body(self._trailers) if last else framed)
            self.sent += len(data)
            self.delivered = last
            if self.progress is not None:
                self.progress()
            if not last:
                await trio.lowlevel.checkpoint()

    async def _read(self) -> bytes:
        while True:
            if self._turns.busy(Work.BODY):
                await self._turns.wait(Work.BODY)
            data = self._at_hand()
            if data or self.complete:
                return data
            self.waiting = True
            received = await self._receive()
            self.waiting = False
            if not received:
                raise ClientGone("closed in the middle of its request body")
            self._reader.feed(received)

    # A client that has its answer need not send the rest of the body; another deadline limits the exchange then.
    async def _receive(self) -> bytes:
        while True:
            with trio.move_on_after(self._idle):
                data = await self._client.receive_some()
                self._heard = True
                return data
            if not self.answered:
                raise BodyTimeout(f"nothing of the request body came for {self._idle:g} s")

    def _at_hand(self) -> bytes:
        data = self._reader.read()
        if self._reader.end is not None:
            self.complete = True
            trailers = self._reader.end.trailers
            self._trailers = trailers if self._edits is None else self._edits.strip(trailers)
            self._client.buffer[:0] = self._reader.trailing
        return self._keep(data)

    def _keep(self, data: bytes) -> bytes:
        if not data:
            return data
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            self.complete = False  # the rest will not be read
            raise BodyTooLarge(f"more than {self._limit} bytes")
        if self._size <= _KEEP:
            self._kept.append(data)
        else:
            self._kept.clear()
            self.repeatable = False
        return data
