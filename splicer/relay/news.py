"""What a mover has to say to its hub: kept until it is asked for, so that nothing is called back while bytes move."""

from __future__ import annotations

import math

from splicer.relay.tunnel import Leg, Tunnel


class News:
    """Notes of a mover.

    `pending`: something happened since the hub last set it to False: it is noted here, or pipes were taken or are
    spent. `due`: the nearest deadline that was noted since `take_due`.
    """

    __slots__ = ("_ended", "_flushing", "due", "pending")

    def __init__(self) -> None:
        self.pending = False
        self.due = math.inf
        self._ended: list[Tunnel] = []
        self._flushing: list[Leg] = []

    def ended(self, tunnel: Tunnel) -> None:
        """It is over, and its `result` says how."""
        self._ended.append(tunnel)
        self.pending = True

    def expect(self, tunnel: Tunnel) -> None:
        """Its next deadline may have come nearer."""
        self.due = min(self.due, tunnel.due())
        self.pending = True

    def flush(self, leg: Leg) -> None:
        """Its tunnel is over when its peer has acknowledged everything (`flush.py`)."""
        self._flushing.append(leg)
        self.pending = True

    def take_ended(self) -> list[Tunnel]:
        """Those that are over."""
        ended, self._ended = self._ended, []
        return ended

    def take_flushing(self) -> list[Leg]:
        """Legs that are to deliver what they took before their tunnel is ended."""
        flushing, self._flushing = self._flushing, []
        return flushing

    def take_due(self) -> float:
        """The nearest deadline, in seconds on Trio's clock."""
        due, self.due = self.due, math.inf
        return due
