"""The client connections without a request: a new one may need their place, and a worker that leaves ends them."""

from __future__ import annotations

import math
from itertools import islice

import trio

from splicer.session.client import ClientLeg

_LOOKS = 16  # connections that are looked at for one place: each look is a system call


class IdleClients:
    """The waits for a next request, the longest one first.

    Invariant: a client is in here only while its connection waits and nothing of a next request has been read from it.
    A wait that is ended from here closes its connection in order, unless a byte has come: its request is served.
    """

    __slots__ = ("_most", "_waits")

    def __init__(self) -> None:
        self._waits: dict[ClientLeg, trio.CancelScope] = {}
        self._most = math.inf  # seconds

    def __len__(self) -> int:
        return len(self._waits)

    async def wait(self, client: ClientLeg, seconds: float) -> bool:
        """Wait for the first byte of a request.

        Args:
            client: whose request.
            seconds: that it may take.

        Returns:
            False when the client closed, time is over, or the place was needed.
        """
        with trio.move_on_after(min(seconds, self._most)) as scope:
            self._waits[client] = scope
            try:
                return await client.wait_byte()
            finally:
                self._waits.pop(client, None)
        return not client.stream.is_quiet()

    def make_room(self) -> bool:
        """End the longest wait; its connection is closed as soon as its task runs.

        Returns:
            False when nobody waits who has nothing to say.
        """
        for client, scope in islice(self._waits.items(), _LOOKS):
            if client.stream.is_quiet():
                del self._waits[client]
                scope.cancel()
                return True
        return False

    def end_within(self, seconds: float) -> None:
        """Let every wait, those to come included, end after so many seconds at most."""
        self._most = min(self._most, seconds)
        latest = trio.current_time() + seconds
        for scope in self._waits.values():
            scope.deadline = min(scope.deadline, latest)
