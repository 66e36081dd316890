"""A mover's notes for its hub, kept until the hub asks, so that nothing is called back while bytes move."""

from __future__ import annotations

import math

from splicer.relay.tunnel import Leg, Tunnel


class News:
    """Notes of a mover.

    `pending` is True if something has happened since the hub last set it to False: a note here, or pipes were taken or
    are spent. `due` is the nearest deadline noted since `take_due`.
    """

    __slots__ = ("_ended", "_flushing", "due", "pending")

    def __init__(self) -> None:
        self.pending = False
        self.due = math.inf
        self._ended: list[Tunnel] = []
        self._flushing: list[Leg] = []

    def ended(self, tunnel: Tunnel) -> None:
        """Note that a tunnel has ended; its `result` says how."""
        self._ended.append(tunnel)
        self.pending = True

    def expect(self, tunnel: Tunnel) -> None:
        """Note that a tunnel's next deadline may be nearer than before."""
        self.due = min(self.due, tunnel.due())
        self.pending = True

    def flush(self, leg: Leg) -> None:
        """Note that the leg's tunnel is to end when the peer has acknowledged everything (`flush.py`)."""
        self._flushing.append(leg)
        self.pending = True

    def take_ended(self) -> list[Tunnel]:
        """Take the tunnels that have ended."""
        ended, self._ended = self._ended, []
        return ended

    def take_flushing(self) -> list[Leg]:
        """Take the legs that must deliver their bytes before their tunnel is ended."""
        flushing, self._flushing = self._flushing, []
        return flushing

    def take_due(self) -> float:
        """Take the nearest deadline, in seconds on Trio's clock."""
        due, self.due = self.due, math.inf
        return due
