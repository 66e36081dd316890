"""What is measured of an exchange: the durations of its steps, and the network quality of its connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HandshakeParts:
    """The durations of the steps before the response head, in seconds."""

    resolve: float = 0.0
    connect: float = 0.0
    handshake: float = 0.0


@dataclass(frozen=True, slots=True)
class Quality:
    """The network quality of a connection to a peer, from TCP_INFO.

    Args:
        rtt: the smoothed round-trip time, in seconds.
        retransmits: segments sent again, over the connection's whole life.
    """

    rtt: float
    retransmits: int
