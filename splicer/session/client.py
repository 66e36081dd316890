"""The client's leg: bytes that were read but not yet parsed, and the heads among them."""

from __future__ import annotations

from contextlib import suppress

import trio

from splicer.arrival import Arrival
from splicer.errors import ClientGone, HeadTimeout
from splicer.http1.head import check_partial, find_head_end
from splicer.net.stream import HEAD_READ_BYTES, READ_BYTES, ByteStream

_LINGER_SECONDS = 5.0
_POLL_INTERVAL = 0.02  # seconds


class ClientLeg:
    """A client connection.

    Args:
        stream: the connection.
        peer: the client's numeric address.
        over: accepted over the limit: it may send one request, and stays open only if that request may use a pod.
        arrival: how it came, if it is not the client's own.
    """

    __slots__ = ("arrival", "buffer", "over", "peer", "stream")

    awaited = ""  # see `idle.IdleConnection`

    def __init__(self, stream: ByteStream, peer: str, *, over: bool = False, arrival: Arrival | None = None) -> None:
        self.stream = stream
        self.peer = peer
        self.over = over
        self.arrival = arrival
        self.buffer = bytearray()

    def read_now(self) -> bool:
        """Whether a byte of a request is there already; it is read without waiting, and so without a deadline."""
        if not self.buffer:
            try:  # noqa: SIM105 - each connection has this; `suppress` takes longer
                self.buffer += self.stream.receive_now(HEAD_READ_BYTES) or b""
            except trio.BrokenResourceError:
                pass
        return bool(self.buffer)

    async def wait_byte(self) -> bool:
        """Wait for the first byte of a request; False if the client closed. There is a checkpoint if none is there."""
        return bool(self.buffer) or await self._read(later=True)

    async def wait_request(self, keepalive: float) -> bool:
        """As `wait_byte`; False also after `keepalive` seconds."""
        with trio.move_on_after(keepalive):
            return await self.wait_byte()
        return False

    async def read_head(self, seconds: float, limit: int) -> bytes | None:
        """Read one raw request head, from its first byte to the blank line; None if the client sends none.

        Args:
            seconds: the time for the whole head, however slowly its bytes arrive.
            limit: the maximal size in bytes.

        Raises:
            HeadTimeout: the head has begun, and is not complete in time.
            HeadTooLarge: it is over the limit.
            BadRequest: it can't become a valid head.
            ClientGone: the client closed in the middle.
        """
        # After `wait_request` the head has usually arrived whole, and the cost of a deadline can be saved.
        end, searched = find_head_end(self.buffer), 0
        if end >= 0:
            return self._take(end)
        with trio.move_on_after(seconds):
            while True:
                check_partial(self.buffer, limit, searched)
                searched = len(self.buffer)
                if not await self._read():
                    if self._is_blank():
                        return None
                    raise ClientGone("closed in the middle of a request head")
                if (end := find_head_end(self.buffer, searched)) >= 0:
                    return self._take(end)
        if self._is_blank():
            return None
        raise HeadTimeout(f"{len(self.buffer)} bytes of a head in {seconds:g} s")

    async def receive_some(self) -> bytes:
        """Bytes of the body: those already read, or those of the next read; b"" at the end of the stream."""
        if self.buffer:
            data = bytes(self.buffer)
            self.buffer.clear()
            return data
        try:
            return await self.stream.receive_some(READ_BYTES)
        except trio.BrokenResourceError as error:
            raise ClientGone("reset") from error

    async def send_all(self, data: bytes) -> None:
        """Send everything.

        Raises:
            ClientGone: the connection is broken.
        """
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError as error:
            raise _gone(error) from error

    def send_now(self, data: bytes) -> bytes:
        """Send what can be sent without waiting, and so without a deadline; return the rest.

        Raises:
            ClientGone: the connection is broken.
        """
        try:
            return data[self.stream.send_now(data) :]
        except trio.BrokenResourceError as error:
            raise _gone(error) from error

    async def linger(self) -> None:
        """Close the sending side, read for some more seconds, then close.

        Unread bytes would make close(2) send a reset, and the client would lose the answer (RFC 9112 §9.6): many
        clients read it only after they have sent the whole body.
        """
        self.stream.send_eof()
        with trio.move_on_after(_LINGER_SECONDS):
            with suppress(trio.BrokenResourceError):
                while await self.stream.receive_some(READ_BYTES):
                    await trio.lowlevel.checkpoint()
        self.stream.close()

    async def cut(self) -> None:
        """Reset once all sent bytes are acknowledged; a reset discards bytes that are not."""
        with trio.move_on_after(_LINGER_SECONDS):
            while not self.stream.is_flushed():  # noqa: ASYNC110 - Linux has no event for the acknowledgement
                await trio.sleep(_POLL_INTERVAL)
        self.stream.reset()

    def _take(self, end: int) -> bytes:
        raw = bytes(self.buffer[:end])
        del self.buffer[:end]
        return raw

    # RFC 9112 §2.2: empty lines before a request line are ignored.
    def _is_blank(self) -> bool:
        return not self.buffer.strip(b"\r\n")

    async def _read(self, *, later: bool = False) -> bool:
        try:
            data = await self.stream.receive_some(HEAD_READ_BYTES, later=later)
        except trio.BrokenResourceError:
            return False
        self.buffer += data
        return bool(data)


def _gone(error: trio.BrokenResourceError) -> ClientGone:
    return ClientGone(f"{error.__cause__ or 'reset'} while the answer was sent")
