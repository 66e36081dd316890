"""Which worker gets a tunnel that has none.

The one that serves its slot, at once; if there is none, the next one that takes the slot, for a moment; then whichever
has the fewest. Better an uneven load than a silent call.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from splicer.vault.held import Channel, Held

_SLOT_GRACE_SECONDS = 0.2  # seconds of silence after which a call no longer waits for the next worker of its slot
_SPELL = 0.5  # seconds without any worker after which the next one is the first of a whole edge that begins
_EDGE_START_SECONDS = 1.0  # seconds after that one in which its others begin
_GONE_ON = 1.0  # seconds after which whoever was given a call has surely gone on with it


class Placement:
    """Knows the tunnels without a worker, and the workers that serve slots.

    Args:
        flush: sends what waits in the outboxes of all channels.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self.slots = 1
        self.orphans: dict[int, Held] = {}
        self.serving: dict[int, Channel] = {}

    @property
    def orphaned_slots(self) -> list[int]:
        """Slots whose tunnels wait for a worker, that with most of them first."""
        return [slot for slot, _ in Counter(held.slot for held in self.orphans.values()).most_common()]

    @property
    def is_urgent(self) -> bool:
        """Whether a tunnel may have to go to a worker of another slot soon."""
        return bool(self.orphans and self.serving)

    # ---- workers ----

    def serve(self, channel: Channel, slot: int, slots: int) -> None:
        """A worker takes the tunnels of a slot, of so many."""
        if not self.serving:
            self._gather()
        channel.slot, self.slots = slot, slots
        self.serving[slot] = channel
        self.place(list(self.orphans.values()))

    def leave(self, channel: Channel) -> None:
        """A worker is gone."""
        if self.serving.get(channel.slot) is channel:
            del self.serving[channel.slot]

    # ---- tunnels ----

    # Who dies right after it was given a call may never have gone on with it: then the call has been silent all along,
    # and in a row of such deaths its time must not begin anew with each.
    def orphan(self, held: Held) -> None:
        """A tunnel has no worker."""
        now = time.monotonic()
        if held.owner is not None:
            held.owner.keys.pop(held.key, None)
        held.owner = None
        if now - held.given > _GONE_ON:
            held.orphaned, held.due = now, now + _SLOT_GRACE_SECONDS
        self.orphans[held.key] = held

    # Nobody else may have a descriptor left either: whoever is asked next is asked after a little while.
    def take_back(self, held: Held) -> None:
        """The worker that was given a tunnel could not take it."""
        self.orphan(held)
        held.due = max(held.due, time.monotonic() + _SLOT_GRACE_SECONDS)

    def forget(self, held: Held) -> None:
        """A tunnel is over."""
        self.orphans.pop(held.key, None)

    def place(self, orphans: list[Held]) -> None:
        """Give tunnels to the workers that serve their slots; those of a vacant slot wait a little for one."""
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
        """The tunnels that have waited so long."""
        oldest = time.monotonic() - seconds
        return [held for held in self.orphans.values() if held.orphaned < oldest]

    # If calls had nobody at all for a while, a whole edge begins: the first worker would get the calls of all that are
    # a moment behind it, and keep them. No call waits for that twice.
    def _gather(self) -> None:
        now = time.monotonic()
        for held in self.orphans.values():
            if now - held.orphaned > _SPELL and held.due <= held.orphaned + _SLOT_GRACE_SECONDS:
                held.due = now + _EDGE_START_SECONDS

    def _give(self, held: Held, channel: Channel) -> None:
        del self.orphans[held.key]
        held.owner, held.given = channel, time.monotonic()
        held.adoptions += 1
        channel.keys[held.key] = None
        channel.outbox.append(held)
