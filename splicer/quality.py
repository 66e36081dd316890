"""The network quality of a connection."""

from __future__ import annotations

from attrs import frozen


@frozen
class Quality:
    """The network quality of a connection to a peer, from TCP_INFO.

    Args:
        rtt: the smoothed round-trip time, in seconds.
        retransmits: segments sent again, over the connection's whole life.
    """

    rtt: float
    retransmits: int
