"""Looking at many live tunnels while their frames go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from splicer.record import Record
from splicer.relay.api import LiveTunnels, TunnelView


def between_frames(
    relay: LiveTunnels[Record], live: Sequence[TunnelView[Record]], few: int
) -> Iterator[TunnelView[Record]]:
    """The tunnels that are alive, one after another; frames are moved in between.

    A step of Trio's loop would do that too, but it costs as much as looking at a hundred tunnels.

    Args:
        relay: moves the frames.
        live: the tunnels; some may end meanwhile.
        few: so many are looked at until frames are moved, if any are due.
    """
    for start in range(0, len(live), few):
        for one in live[start : start + few]:
            if one.alive:
                yield one
        relay.turn_if_due()
