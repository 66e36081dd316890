"""The choice of a worker for a tunnel that has none.

The tunnel goes to the worker that serves its slot, at once. If there is none, it waits a moment for the next worker of
the slot, and then goes to the worker with the fewest tunnels: an uneven load is better than a silent call.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from splicer.vault.held import Channel, Held

_SLOT_GRACE_SECONDS = 0.2  # seconds for which a call waits for the next worker of its slot
_EDGE_RESTART_SECONDS = 0.5  # seconds without any worker after which the next one means that a whole edge starts
_EDGE_START_SECONDS = 1.0  # seconds for the other workers of that edge to start
_ADOPTION_SECONDS = 1.0  # seconds after which a worker has certainly gone on with a call that it was given


class Placement:
    """The tunnels without a worker, and the workers that serve slots.

    Args:
        flush: sends the outboxes of all channels.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self.slots = 1
        self.orphans: dict[int, Held] = {}
        self.serving: dict[int, Channel] = {}

    @property
    def orphaned_slots(self) -> list[int]:
        """Slots whose tunnels wait for a worker; the slot with most of them comes first."""
        return [slot for slot, _ in Counter(held.slot for held in self.orphans.values()).most_common()]

    @property
    def is_urgent(self) -> bool:
        """Whether a tunnel may have to go to a worker of another slot soon."""
        return bool(self.orphans and self.serving)

    # ---- workers ----

    def serve(self, channel: Channel, slot: int, slots: int) -> None:
        """Let a worker take the tunnels of a slot; `slots` is the number of slots."""
        if not self.serving:
            self._wait_for_edge()
        channel.slot, self.slots = slot, slots
        self.serving[slot] = channel
        self.place(list(self.orphans.values()))

    def leave(self, channel: Channel) -> None:
        """Forget a worker that is gone."""
        if self.serving.get(channel.slot) is channel:
            del self.serving[channel.slot]

    # ---- tunnels ----

    # A worker that dies right after it was given a call may never have gone on with it. Then the call has been silent
    # since it lost the worker before, and its times are kept: a row of such deaths must not postpone them each time.
    def orphan(self, held: Held) -> None:
        """Note that a tunnel has no worker."""
        now = time.monotonic()
        if held.owner is not None:
            held.owner.keys.pop(held.key, None)
        held.owner = None
        if now - held.given > _ADOPTION_SECONDS:
            held.orphaned, held.due = now, now + _SLOT_GRACE_SECONDS
        self.orphans[held.key] = held

    # The other workers may have no descriptor left either, so the next one gets the tunnel only after a delay.
    def take_back(self, held: Held) -> None:
        """Take back a tunnel that its new worker could not accept."""
        self.orphan(held)
        held.due = max(held.due, time.monotonic() + _SLOT_GRACE_SECONDS)

    def forget(self, held: Held) -> None:
        """Forget a tunnel that is over."""
        self.orphans.pop(held.key, None)

    def place(self, orphans: list[Held]) -> None:
        """Give tunnels to the workers that serve their slots; tunnels of a vacant slot wait `_SLOT_GRACE_SECONDS`."""
        for held in orphans:
            held.slot = (max(held.slot, 1) - 1) % self.slots + 1  # there may be fewer workers now
            channel = self.serving.get(held.slot)
            if channel is not None:
                self._give(held, channel)
        self._flush()

    def place_due(self) -> None:
        """Give the tunnels that have waited long enough for their slots to any worker."""
        if not self.serving:
            return
        now = time.monotonic()
        for held in [held for held in self.orphans.values() if now >= held.due]:
            channel = min(self.serving.values(), key=lambda one: len(one.keys))
            held.slot = channel.slot
            self._give(held, channel)
        self._flush()

    def kept_longer_than(self, seconds: float) -> list[Held]:
        """The tunnels that have been without a worker for more than `seconds`."""
        oldest = time.monotonic() - seconds
        return [held for held in self.orphans.values() if held.orphaned < oldest]

    # If there was no worker at all for a while, a whole edge is starting. Without this delay its first worker would get
    # the calls of all others, which start a moment later. A call is delayed only once for that.
    def _wait_for_edge(self) -> None:
        now = time.monotonic()
        for held in self.orphans.values():
            if now - held.orphaned > _EDGE_RESTART_SECONDS and held.due <= held.orphaned + _SLOT_GRACE_SECONDS:
                held.due = now + _EDGE_START_SECONDS

    def _give(self, held: Held, channel: Channel) -> None:
        del self.orphans[held.key]
        held.owner, held.given = channel, time.monotonic()
        held.adoptions += 1
        channel.keys[held.key] = None
        channel.outbox.append(held)
