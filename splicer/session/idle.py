"""Idle client connections, between two requests: they make room for new ones, and end when their worker leaves."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Protocol

import trio

from splicer.arrival import Arrival
from splicer.net.stream import ByteStream
from splicer.net.waits import Scope, Waits

_SLICE = 64  # waits ended before other tasks run: frames wait meanwhile
_OF_A_CALL = 3  # descriptors that a client connection needs to become a call: a socket and a pipe
_CLOSE_DELAY = 0.001  # seconds until the task of an ended wait has run and closed its connection
_LOOKS = 16  # connections checked to find one that can be closed: each check is a system call


class IdleConnection(Protocol):
    """A connection that may be idle: that of a `ClientLeg`, or one whose PROXY header has not come yet."""

    @property
    def buffer(self) -> bytearray:
        """The bytes that were read from it and not used."""
        ...

    @property
    def stream(self) -> ByteStream:
        """The connection."""
        ...

    @property
    def peer(self) -> str:
        """The numeric address of its other end."""
        ...

    @property
    def arrival(self) -> Arrival | None:
        """See `ipc.messages.Connection`."""
        ...

    @property
    def awaited(self) -> str:
        """See `ipc.messages.Connection`."""
        ...

    async def wait_byte(self) -> bool:
        """Wait for a first byte; False if the client closed."""
        ...


Heir = Callable[[IdleConnection], Awaitable[bool]]


class IdleClients:
    """The waits for a next request; the longest one comes first.

    Invariant: a client is in here only while its connection waits and no byte of a next request has been read from it.
    When a wait is ended from here, the connection is closed with a FIN, unless a byte has come: then the request is
    served.
    """

    __slots__ = ("_heir", "_most", "_waits", "ended")

    def __init__(self) -> None:
        self.ended = 0  # the number of waits ended to make room
        self._heir: Heir | None = None
        self._waits: dict[IdleConnection, Scope] = {}
        self._most = math.inf  # seconds

    def __len__(self) -> int:
        return len(self._waits)

    async def wait(self, client: IdleConnection, waits: Waits, seconds: float) -> bool:
        """Wait for the first byte of a request.

        Args:
            client: the client that waits.
            waits: of the task that calls this.
            seconds: how long to wait.

        Returns:
            False when the client closed, the time is over, the connection had to make room, or the heir has it.
        """
        heir = self._heir
        while True:
            if heir is not None and not client.buffer and await heir(client):
                return False
            now = trio.current_time()
            with waits.until(now + min(seconds, self._most), now) as scope:
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
            places: the number of connections to close.

        Returns:
            False when there is no idle connection without received bytes.
        """
        quiet = (client for client in islice(self._waits, _LOOKS) if client.stream.is_quiet())
        clients = list(islice(quiet, places))
        for client in clients:
            self._waits.pop(client).cancel()
        self.ended += len(clients)
        return bool(clients)

    async def free_descriptors(self) -> bool:
        """Close idle connections, as many as a connection needs descriptors to become a call.

        Returns:
            False when there is no idle connection without received bytes.
        """
        if not self.make_room(_OF_A_CALL):
            return False
        await trio.sleep(_CLOSE_DELAY)
        return True

    async def end_within(self, seconds: float, heir: Heir | None = None) -> None:
        """End every wait, also future ones, after at most `seconds`.

        Args:
            seconds: the time for one more request.
            heir: gets the connections at once, if it can.
        """
        self._most, self._heir = min(self._most, seconds), heir or self._heir
        latest, scopes = trio.current_time() + seconds, list(self._waits.values())
        for start in range(0, len(scopes), _SLICE):
            for scope in scopes[start : start + _SLICE]:
                scope.deadline = -math.inf if heir is not None else min(scope.deadline, latest)
            await trio.lowlevel.checkpoint()
