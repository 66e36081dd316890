"""The events of all tunnels, in batches; `directions.py` moves the bytes of each."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any

import trio

from splicer.errors import Side
from splicer.relay.api import TunnelEnd, TunnelSpec
from splicer.relay.directions import Directions
from splicer.relay.leaving import lose
from splicer.relay.tunnel import READ, WRITE, Leg, Tunnel

BATCH = 64  # events of one epoll_wait: few enough that even bulk data doesn't exceed the hub's time by much


def _do_nothing() -> None:
    """Before `attend`."""


class Mover(Directions):
    """Moves bytes in plain function calls; see `ByteMover`.

    Args:
        words: the journal.
    """

    def __init__(self, words: Any) -> None:
        super().__init__(words)
        self._batches = 0
        self._invited = -1  # the epoll of `invite`
        self._looked = 0.0  # when it looked for events last, on the clock of `perf_counter`
        self._turn_if_due: Callable[[], object] = _do_nothing

    @property
    def batches(self) -> int:
        """The number of batches of events so far."""
        return self._batches

    @property
    def starved(self) -> int:
        """The number of directions that wait only for a pipe."""
        return len(self._starved)

    def fileno(self) -> int:
        """The epoll's descriptor."""
        return self._epoll.fileno()

    # ---- tunnels ----

    def make(self, spec: TunnelSpec[Any], now: float) -> Tunnel:
        """Make a tunnel in which nothing moves yet."""
        client, pod = Leg(spec.client, Side.CLIENT), Leg(spec.pod, Side.POD)
        pod.total = -spec.uncounted
        client.plain = pod.plain = spec.plain
        client.peer_end, pod.peer_end = spec.client_end, spec.pod_end
        return Tunnel(client, pod, spec.limits, now, spec.key, spec.owner)

    def add(self, tunnel: Tunnel, now: float) -> None:
        """Start a tunnel: move the bytes in its pipes, and then those that come."""
        client, pod = tunnel.client, tunnel.pod
        self._legs[client.fd] = client
        self._legs[pod.fd] = pod
        for leg in (pod, client):
            if leg.parked:
                self.drain(leg, now)
        if tunnel.result is None:
            self.watch(client)
            self.watch(pod)
            self.news.expect(tunnel)

    def attend(self, turn: Callable[[], object], delay: float) -> Callable[[], object]:
        """See `ByteMover`."""

        def turn_if_due() -> None:
            if self._legs and perf_counter() - self._looked >= delay:
                turn()

        self._turn_if_due = turn_if_due
        return turn_if_due

    def count_steps(self, beat: memoryview[int]) -> Callable[[trio.lowlevel.Task], object]:
        """See `ByteMover`."""
        turn_if_due = self._turn_if_due

        def before_task_step(_task: trio.lowlevel.Task) -> None:
            beat[0] += 1
            turn_if_due()

        return before_task_step

    def look(self) -> bool:
        """See `ByteMover`: `step` looks itself."""
        return True

    def step(self, now: float) -> bool:
        """See `ByteMover`."""
        events = self._epoll.poll(0, BATCH)
        self._looked = perf_counter()
        invited = bool(events) and self._move(events, now)
        return len(events) > invited

    def invite(self, epoll: int) -> bool:
        """See `ByteMover`."""
        try:
            self._epoll.register(epoll, READ)
        except OSError:
            return False
        self._invited = epoll
        return True

    def host(self, now: float, until: float) -> bool:
        """See `ByteMover`."""
        poll, news = self._epoll.poll, self.news
        offset = now - monotonic()
        while not news.pending and now < until:
            events = poll(until - now, BATCH)
            self._looked = perf_counter()
            now = monotonic() + offset
            if events and self._move(events, now):
                return True
        return False

    def _move(self, events: list[tuple[int, int]], now: float) -> bool:
        legs, invited = self._legs, False
        self._batches += 1
        for fd, mask in events:
            leg = legs.get(fd)
            if leg is None:  # its tunnel ended earlier in this batch
                invited |= fd == self._invited
                continue
            try:
                self._handle(leg, mask, now)
            except MemoryError:
                raise  # ends the process: the calls go on elsewhere, instead of ending here one after another
            except Exception as error:  # noqa: BLE001 - a bug ends one call, whose task raises it
                self._crash(leg, error)
        if self._starved and (self._clean or self.pipes.has_last):
            self.feed(now)
        if invited and len(events) == 1:
            self._batches -= 1  # nothing of a tunnel's
        return invited

    def _handle(self, leg: Leg, mask: int, now: float) -> None:
        if leg.peer.parked and mask != READ:
            self.drain(leg.peer, now)
        if not (leg.parked or leg.eof) and mask != WRITE and leg.tunnel.result is None:
            if self._clean and not leg.discard:
                self._pass(leg, self._clean[-1], now)
            else:
                self._fill(leg, now)

    def _crash(self, leg: Leg, error: Exception) -> None:
        leg.tunnel.error = error
        self.end(leg.tunnel, TunnelEnd(Side.PROXY, "crash"))

    def feed(self, now: float) -> None:
        """Continue the directions that wait for a pipe: pipes may be there now."""
        starved = self._starved.copy()
        self._starved.clear()
        for leg in starved:
            leg.starved = False
            if leg.tunnel.result is None and self._legs.get(leg.fd) is leg:
                self.drain(leg, now)

    def lose(self, leg: Leg, now: float) -> None:
        """Handle that the peer of this leg has vanished, though the kernel keeps its connection."""
        lose(self, leg, now)
