"""Finished connections that the pod is to close.

Who closes first keeps the connection's port for a minute (TIME_WAIT, RFC 9293 §3.6), and to one address there are
28,000 of them (net.ipv4.ip_local_port_range): enough for 470 webhooks a second. So the pod is asked to close (RFC 9112
§9.6), and waited for a little. One that does not is reset: nothing is on its way any more, and no TIME_WAIT is left.
"""

from __future__ import annotations

from collections import deque

import trio
from attrs import define, field

from splicer.net.stream import ByteStream

_POLL_INTERVAL = 0.05  # seconds: an end of stream is not worth a task or an event for each connection


@define
class ClosingConnections:
    """Those that are waited for, oldest first.

    Args:
        most: how many; each keeps a descriptor and a port.
        seconds: how long one is waited for.
    """

    most: int = 64
    seconds: float = 1.0
    _waiting: deque[tuple[float, ByteStream]] = field(factory=deque, init=False)
    _some: trio.Event = field(factory=trio.Event, init=False)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, stream: ByteStream) -> None:
        """Close a connection, whose exchange is complete, after the pod has."""
        self._waiting.append((trio.current_time(), stream))
        self._some.set()
        if len(self._waiting) > self.most:
            _end(self._waiting.popleft()[1])

    async def run(self) -> None:
        """Close what pods have closed, and what they don't, until cancelled."""
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
        """Wait for none of them any more."""
        while self._waiting:
            _end(self._waiting.popleft()[1])


def _end(stream: ByteStream) -> None:
    if stream.is_quiet():
        stream.reset()
    else:
        stream.close()
