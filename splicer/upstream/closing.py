"""Finished connections that wait for the pod to close them.

The side that closes first keeps the connection's port for a minute (TIME_WAIT, RFC 9293 §3.6), and there are 28,000
ports for one address (net.ipv4.ip_local_port_range): enough for 470 webhooks a second. So the pod is asked to close
(RFC 9112 §9.6), and has a short time for it. If it does not, the connection is reset, which leaves no TIME_WAIT and is
safe, because no bytes are in flight any more.
"""

from __future__ import annotations

from collections import deque

import trio
from attrs import define, field

from splicer.net.stream import ByteStream

_POLL_INTERVAL = 0.05  # seconds; polling is cheaper than a task or an event for each connection


@define
class ClosingConnections:
    """The connections that wait for their pods, oldest first.

    Args:
        most: the most connections that wait; each keeps a descriptor and a port.
        seconds: the time that a pod has to close.
    """

    most: int = 64
    seconds: float = 1.0
    _waiting: deque[tuple[float, ByteStream]] = field(factory=deque, init=False)
    _some: trio.Event = field(factory=trio.Event, init=False)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, stream: ByteStream) -> None:
        """Close a connection whose exchange is complete after the pod has closed it."""
        self._waiting.append((trio.current_time(), stream))
        self._some.set()
        if len(self._waiting) > self.most:
            _end(self._waiting.popleft()[1])

    async def run(self) -> None:
        """Close connections that pods have closed, and reset those that they don't close in time; until cancelled."""
        while True:
            await self._some.wait()
            await trio.sleep(_POLL_INTERVAL)
            oldest = trio.current_time() - self.seconds
            for since, stream in [self._waiting.popleft() for _ in range(len(self._waiting))]:
                if since <= oldest or not stream.is_quiet():
                    _end(stream)
                else:
                    self._waiting.append((since, stream))
            if not self._waiting:
                self._some = trio.Event()

    def close(self) -> None:
        """End all connections without waiting."""
        while self._waiting:
            _end(self._waiting.popleft()[1])


def _end(stream: ByteStream) -> None:
    if stream.is_quiet():
        stream.reset()
    else:
        stream.close()
