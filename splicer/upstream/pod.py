"""The pod's leg: one connection to a pod, and the answer on it."""

from __future__ import annotations

import trio

from splicer.errors import PodClosed, PodReset
from splicer.http1.response import ResponseParser
from splicer.model import Endpoint, ResponseHead
from splicer.net.stream import HEAD_READ_BYTES, READ_BYTES, ByteStream
from splicer.pod_tls import PodProof
from splicer.tls_errors import TlsLost, TlsRefused


class PodLeg:
    """A connection to a pod.

    Args:
        stream: the connection.
        endpoint: the pod's endpoint.
        parser: of the answer; one request is sent on the leg.
        reused: it is from the pool, and the pod may have closed it.
        private: it began with its client's PROXY header, and is for no other request.
        proof: what it has proved by TLS; None: it has no TLS.
    """

    __slots__ = ("endpoint", "heard", "parser", "private", "proof", "reused", "stream")

    def __init__(
        self,
        stream: ByteStream,
        endpoint: Endpoint,
        parser: ResponseParser,
        *,
        reused: bool,
        private: bool = False,
        proof: PodProof | None = None,
    ) -> None:
        self.stream = stream
        self.endpoint = endpoint
        self.parser = parser
        self.reused = reused
        self.private = private
        self.proof = proof
        self.heard = False  # any byte came from the pod

    async def send_all(self, data: bytes) -> None:
        """Send everything.

        Raises:
            PodReset: the connection is broken.
            TlsRefused: see `read_head`.
            TlsLost: see `read_head`.
        """
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._check_tls(error)
            raise PodReset(f"{self.endpoint}: reset while the request was sent") from error

    async def read_head(self) -> ResponseHead:
        """Read the next response head, which may be informational (1xx).

        Raises:
            PodReset: the connection was reset before the head was complete.
            PodClosed: the connection was closed before the head was complete.
            BadAnswer: the head is not acceptable HTTP/1.1.
            TlsRefused: the pod does not accept our certificate; with TLS 1.3 it says so only after the handshake.
            TlsLost: the tls process has died: that says nothing of the pod.
        """
        try:
            if not self.heard:  # the pod has only just got the request
                await self.read_more(HEAD_READ_BYTES, later=True)
            while (head := self.parser.next_head()) is None:
                await self.read_more(HEAD_READ_BYTES)
        except (PodReset, PodClosed) as error:
            self._check_tls(error)
            raise
        return head

    # The end of an idle connection stays what it is, whoever has ended it: then another one is used.
    def _check_tls(self, error: Exception) -> None:
        if self.stream.tls is None or (self.reused and not self.heard):
            return
        match self.stream.tls.end:
            case TlsRefused.reason:
                raise TlsRefused(f"{self.endpoint}: it does not accept our certificate") from error
            case TlsLost.reason:
                raise TlsLost(f"{self.endpoint}: the tls process has ended") from error

    def close(self) -> None:
        """Close the connection."""
        self.stream.close()

    async def read_more(self, most: int = READ_BYTES, *, later: bool = False) -> None:
        """Read once, for the parser.

        Args:
            most: the maximal number of bytes.
            later: see `ByteStream.receive_some`.

        Raises:
            PodReset: the connection is broken.
        """
        try:
            data = await self.stream.receive_some(most, later=later)
        except trio.BrokenResourceError as error:
            raise PodReset(f"{self.endpoint}: {error.__cause__ or 'reset'}") from error
        if data:
            self.heard = True
            self.parser.feed(data)
        else:
            self.parser.feed_eof()
