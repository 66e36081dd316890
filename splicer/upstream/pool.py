"""Idle connections to pods, kept for the next plain HTTP request.

Invariant: a connection in the pool has finished its last exchange on both sides. It is used again only if there is
nothing to read on it: a byte would belong to no request, an end of stream means that the pod has closed it.
"""

from __future__ import annotations

from collections import deque

import trio
from attrs import define, field

from splicer.model import Endpoint
from splicer.net.stream import ByteStream
from splicer.pod_tls import PodProof

_SWEEP_INTERVAL = 5.0  # seconds


@define
class IdlePool:
    """A small pool per endpoint.

    Args:
        per_endpoint: the most idle connections to one endpoint.
        seconds: the longest idle time.
    """

    per_endpoint: int = 16
    seconds: float = 30.0
    _idle: dict[tuple[str, int, PodProof | None], deque[tuple[float, ByteStream]]] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return sum(map(len, self._idle.values()))

    def take(self, endpoint: Endpoint, proof: PodProof | None = None) -> ByteStream | None:
        """The most recently used connection that can be used again, or None.

        Args:
            endpoint: the pod's endpoint.
            proof: what it must have proved by TLS; None: it has no TLS.
        """
        idle = self._idle.get((endpoint.address, endpoint.port, proof))
        while idle:
            since, stream = idle.pop()
            if trio.current_time() - since < self.seconds and stream.is_quiet():
                return stream
            stream.close()
        return None

    def give(self, endpoint: Endpoint, stream: ByteStream, proof: PodProof | None = None) -> None:
        """Keep a connection whose last exchange is complete; if there are too many, the oldest one is closed.

        Args:
            endpoint: the pod's endpoint.
            stream: the connection.
            proof: what it has proved by TLS; None: it has no TLS.
        """
        idle = self._idle.setdefault((endpoint.address, endpoint.port, proof), deque())
        idle.append((trio.current_time(), stream))
        if len(idle) > self.per_endpoint:
            idle.popleft()[1].close()

    async def run(self) -> None:
        """Close connections that have been idle too long, until cancelled."""
        while True:
            await trio.sleep(_SWEEP_INTERVAL)
            oldest = trio.current_time() - self.seconds
            for key, idle in list(self._idle.items()):
                while idle and idle[0][0] <= oldest:
                    idle.popleft()[1].close()
                if not idle:
                    del self._idle[key]

    def close(self) -> None:
        """Close all connections."""
        for idle in self._idle.values():
            for _, stream in idle:
                stream.close()
        self._idle.clear()
