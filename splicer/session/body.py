"""The request body on its way from the client to the pod: streamed, never held whole."""

from __future__ import annotations

from collections.abc import Callable

import h11
import trio

from splicer.errors import BadRequest, BodyTooLarge, ClientError, ClientGone, PodReset
from splicer.model import Headers, RequestHead
from splicer.session.client import ClientLeg
from splicer.session.pod import PodLeg

_KEEP = 64 * 1024  # bytes: a body up to this size is kept, and can be sent to another pod


class RequestBody:
    """One request's body.

    It is sent beside the exchange, and may be sent again to another pod while it is `repeatable`. What the client did
    wrong is left in `fault` when the exchange is cancelled for it.

    Args:
        client: whose body it is.
        head: of the request.
        server: the h11 connection that has read the head, and frames the body.
        limit: `limits.body_bytes`; None is unlimited.
    """

    def __init__(self, client: ClientLeg, head: RequestHead, server: h11.Connection, limit: int | None) -> None:
        self._client = client
        self._server = server
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0  # bytes read from the client
        self._trailers: Headers = ()
        self._sending: trio.CancelScope | None = None
        self.complete = not head.has_body
        self.repeatable = True
        self.sent = 0  # bytes written in the last attempt
        self.waiting = False  # for the client
        self.fault: ClientError | None = None

    def start(self, nursery: trio.Nursery, leg: PodLeg, when_sent: Callable[[], None]) -> None:
        """Send the body to one pod, beside the exchange.

        Args:
            nursery: of the exchange; it is cancelled when the client is at fault.
            leg: the pod.
            when_sent: is called when the last byte was sent, or the pod takes no more.
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
            await trio.lowlevel.checkpoint()  # it may have been stopped before it began
            try:
                await self._send(leg)
            except PodReset:
                pass  # what the pod answered before it stopped reading is read on the other side
            except ClientError as error:
                self.fault = error
                exchange.cancel()
                return
            when_sent()

    async def _send(self, leg: PodLeg) -> None:
        self.sent = position = 0
        while True:
            if position < len(self._kept):
                data = self._kept[position]
                position += 1
            elif self.complete:
                break
            else:
                data = await self._read()
                position = len(self._kept)
            if data:
                await leg.send_all(leg.parser.body(data))
                self.sent += len(data)
            await trio.lowlevel.checkpoint()
        if end := leg.parser.end_body(self._trailers):
            await leg.send_all(end)

    async def _read(self) -> bytes:
        while True:
            try:
                event = self._server.next_event()
            except h11.RemoteProtocolError as error:
                raise BadRequest(f"request body: {error}") from error
            if isinstance(event, h11.Data):
                return self._keep(bytes(event.data))
            if isinstance(event, h11.EndOfMessage):
                self.complete = True
                self._trailers = tuple(event.headers.raw_items())
                self._client.buffer[:0] = self._server.trailing_data[0]
                return b""
            self.waiting = True
            data = await self._client.receive_some()
            self.waiting = False
            if not data:
                raise ClientGone("closed in the middle of its request body")
            self._server.receive_data(data)

    def _keep(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            raise BodyTooLarge(f"more than {self._limit} bytes")
        if self._size <= _KEEP:
            self._kept.append(data)
        else:
            self._kept.clear()
            self.repeatable = False
        return data
