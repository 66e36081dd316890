"""The client connections without a request: a new one may need their place, and a worker that leaves ends them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from itertools import islice

import trio

from splicer.session.client import ClientLeg

Heir = Callable[[ClientLeg], Awaitable[bool]]

_SLICE = 64  # waits that are ended in one go: frames wait meanwhile
_OF_A_CALL = 3  # descriptors that a client's connection needs to become a call: a socket and a pipe
_CLOSED = 0.001  # seconds after which a connection whose wait was ended is closed: its task has run
_LOOKS = 16  # connections that are looked at for one place: each look is a system call


class IdleClients:
    """The waits for a next request, the longest one first.

    Invariant: a client is in here only while its connection waits and nothing of a next request has been read from it.
    A wait that is ended from here closes its connection in order, unless a byte has come: its request is served.
    """

    __slots__ = ("_heir", "_most", "_waits", "ended")

    def __init__(self) -> None:
        self.ended = 0  # waits, so that there is room
        self._heir: Heir | None = None
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
            False when the client closed, time is over, the place was needed, or the heir has the connection.
        """
        heir = self._heir
        while True:
            if heir is not None and not client.buffer and await heir(client):
                return False
            with trio.move_on_after(min(seconds, self._most)) as scope:
                self._waits[client] = scope
                try:
                    return await client.wait_byte()
                finally:
                    self._waits.pop(client, None)
            if heir is self._heir:
                return not client.stream.is_quiet()
            heir = self._heir

    def make_room(self, places: int = 1) -> bool:
        """End the longest waits; each connection is closed as soon as its task runs.

        Args:
            places: how many.

        Returns:
            False when nobody waits who has nothing to say.
        """
        quiet = (client for client in islice(self._waits, _LOOKS) if client.stream.is_quiet())
        clients = list(islice(quiet, places))
        for client in clients:
            self._waits.pop(client).cancel()
        self.ended += len(clients)
        return bool(clients)

    async def free_descriptors(self) -> bool:
        """End as many waits as a connection needs descriptors to become a call, and have these closed.

        Returns:
            False when nobody waits who has nothing to say.
        """
        if not self.make_room(_OF_A_CALL):
            return False
        await trio.sleep(_CLOSED)
        return True

    async def end_within(self, seconds: float, heir: Heir | None = None) -> None:
        """Let every wait, those to come included, end after so many seconds at most.

        Args:
            seconds: for one more request.
            heir: gets the connections at once, if it can.
        """
        self._most, self._heir = min(self._most, seconds), heir or self._heir
        latest, scopes = trio.current_time() + seconds, list(self._waits.values())
        for start in range(0, len(scopes), _SLICE):
            for scope in scopes[start : start + _SLICE]:
                scope.deadline = -math.inf if heir is not None else min(scope.deadline, latest)
            await trio.lowlevel.checkpoint()
