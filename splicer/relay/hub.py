"""The hub: one wake-up and one batch of plain function calls for every frame of every tunnel.

A tunnel's task sleeps in `splice` and is woken once, at the end. Frames are moved by `ByteMover.host`, which waits in
Trio's place (see `trio_wait`); by `turn_if_due`, between the steps of other tasks; and, if Trio's epoll wasn't found,
by `turn`, when Trio says that the mover's epoll has events.

Invariant: a socket leaves the epoll before it is closed, and no descriptor is closed within a batch: the batch may
still have an event with its number.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import trio

from splicer.errors import Side
from splicer.relay.api import TunnelEnd, TunnelSpec, TunnelView
from splicer.relay.beginning import load, resume
from splicer.relay.flush import Flushes
from splicer.relay.liveness import PeerLiveness
from splicer.relay.mover import Mover
from splicer.relay.mover_interface import ByteMover
from splicer.relay.native import NativeMover
from splicer.relay.registry import NullRegistry, PipeRegistry
from splicer.relay.state import NATIVE
from splicer.relay.stock import PipeStock
from splicer.relay.sweep import Sweep
from splicer.relay.trio_wait import TrioWait
from splicer.relay.tunnel import Tunnel

_TURN_SECONDS = 0.002  # seconds that the hub may take before it yields to Trio
_MAX_FRAME_DELAY = 0.0001  # seconds for which frames wait while Trio runs other tasks


class Hub:
    """The `Relay` of a worker: it has the tasks; its mover moves the bytes.

    Args:
        liveness: distinguishes vanished peers from paused ones; None: one with default values.
        registry: keeps each pipe in case this process dies; None: pipes are not kept.
        mover: makes the mover, from the journal; by default in C, if the extension is there.
    """

    def __init__(
        self,
        liveness: PeerLiveness | None = None,
        registry: PipeRegistry | None = None,
        mover: Callable[[Any], ByteMover] = NativeMover if NATIVE else Mover,
    ) -> None:
        registry = registry or NullRegistry()
        self._mover = mover(registry.words)
        self._stock = PipeStock(registry, self._mover, self._feed)
        self._tunnels: dict[object, Tunnel] = {}  # by their views
        self._sweep = Sweep(self._tunnels, self._mover, liveness or PeerLiveness(), self._settle)
        self._flushes = Flushes(self._flushed)
        self._wait = TrioWait(self._mover, self.turn, self._settle)
        self.turn_if_due = self._mover.attend(self._turn_between, _MAX_FRAME_DELAY)
        """See `LiveTunnels`."""
        self._letting_go = False
        self._left = 0

    @property
    def tunnels(self) -> int:
        """The number of live tunnels."""
        return len(self._tunnels)

    @property
    def left(self) -> int:
        """The number of tunnels left to the vault."""
        return self._left

    @property
    def pipes(self) -> PipeStock:
        """The relay's pipes."""
        return self._stock

    def views(self) -> Sequence[TunnelView[Any]]:
        """The live tunnels, oldest first."""
        return list(self._tunnels.values())

    @contextlib.contextmanager
    def opened(self) -> Iterator[Hub]:
        """Close the hub's own descriptors at the end.

        Raises:
            OSError: no descriptor is left for a single pipe.
        """
        try:
            self._stock.reserve()
            yield self
        finally:
            self._stock.close()
            self._mover.close()

    # ---- turns ----

    async def run(self) -> None:
        """Move bytes and keep deadlines until cancelled."""
        async with trio.open_nursery() as nursery:
            for task in (self._sweep.run, self._flushes.run, self._stock.run, self._wait.run):
                nursery.start_soon(task)

    @property
    def hosts(self) -> bool:
        """Whether the hub waits in Trio's place."""
        return self._wait.hosts

    def turn(self) -> bool:
        """Handle pending events, for at most `_TURN_SECONDS`; return whether a task is to run now."""
        step, now = self._mover.step, trio.current_time()
        stop = perf_counter() + _TURN_SECONDS
        while step(now) and perf_counter() < stop:
            pass
        return self._mover.news.pending and self._settle()

    def count_steps(self, beat: memoryview[int]) -> Callable[[trio.lowlevel.Task], object]:
        """See `ByteMover`."""
        return self._mover.count_steps(beat)

    # One batch only, since bulk streams have no end.
    def _turn_between(self) -> None:
        if self._wait.is_failing:
            return
        try:
            self._mover.step(trio.current_time())
            if self._mover.news.pending:
                self._settle()
        except Exception as error:  # noqa: BLE001 - `run` raises it: Trio would only log it here
            self._wait.fail(error)

    # Handles what the mover has noted while it moved bytes: outside a batch, tasks may be woken and descriptors closed.
    def _settle(self) -> bool:
        """Return whether a task is to run now."""
        news = self._mover.news
        news.pending = False
        ended, flushing, due = news.take_ended(), news.take_flushing(), news.take_due()
        for tunnel in ended:
            self._remove(tunnel)
            if tunnel.task is not None:
                trio.lowlevel.reschedule(tunnel.task)
                tunnel.task = None
        for leg in flushing:
            if leg.tunnel.alive:
                self._flushes.add(leg)
        if due < math.inf:
            self._sweep.expect(due)
        for pipe in self._mover.pipes.take_spent():
            self._stock.discard(pipe)
        return self._stock.look() or bool(ended or flushing or due < math.inf)

    def _feed(self) -> None:
        self._mover.feed(trio.current_time())
        self._settle()

    # ---- tunnels ----

    async def splice(self, spec: TunnelSpec[Any]) -> TunnelEnd:
        """See `Relay`."""
        tunnel = self._mover.make(spec, trio.current_time())
        try:
            if spec.past is not None:
                resume(self._stock, tunnel, spec.past)
                if self._letting_go:
                    self._leave(tunnel)
                    await trio.sleep_forever()
            await load(self._stock, tunnel.pod, spec.to_client)
            await load(self._stock, tunnel.client, spec.to_pod)
            if spec.register is not None:
                await spec.register()
                self.turn_if_due()
            self._tunnels[tunnel] = tunnel
            if len(self._tunnels) == 1:
                self._sweep.begin()
            self._mover.add(tunnel, tunnel.last)
            self._settle()
            if tunnel.result is None:
                tunnel.task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(lambda _: self._abandon(tunnel))
            assert tunnel.result is not None  # noqa: S101 - `_settle` reschedules the task only after the end
            if tunnel.error is not None:
                raise tunnel.error
            return tunnel.result
        finally:
            if tunnel.result is None:  # else `Mover.end` has dropped it, and `_settle` has removed it
                self._forget(tunnel)
            spec.counts.to_pod, spec.counts.to_client = tunnel.to_pod, tunnel.to_client
            if tunnel.result is None:  # `splice` was cancelled, or failed before the tunnel began
                tunnel.result = TunnelEnd(Side.PROXY, "shutdown")
            tunnel.break_cycle()

    def end(self, view: TunnelView[Any], closer: Side, reason: str) -> None:
        """End a tunnel, if it is still alive."""
        if (tunnel := self._tunnels.get(view)) is not None:
            self._mover.end(tunnel, TunnelEnd(closer, reason))
            self._settle()

    def end_all(self, closer: Side, reason: str) -> None:
        """End every tunnel, as at the deadline of a drain."""
        for tunnel in list(self._tunnels.values()):
            self._mover.end(tunnel, TunnelEnd(closer, reason))
        self._settle()

    # One of its connections broke; `Mover.end` replaces this end by that one.
    def _flushed(self, tunnel: Tunnel) -> None:
        self.end(tunnel, Side.PROXY, "flushed")

    # The tunnels' tasks are not woken: this process is about to end, and must not touch the connections any more. The
    # same holds for a tunnel that was adopted and has not begun here.
    def let_go(self) -> None:
        """Leave every tunnel to the vault: close all descriptors; the vault's duplicates keep the connections open."""
        self._letting_go = True
        for tunnel in list(self._tunnels.values()):
            tunnel.task = None
            self._leave(tunnel)

    def _leave(self, tunnel: Tunnel) -> None:
        self._settle()
        self._left += 1
        self._remove(tunnel)
        self._mover.drop(tunnel)
        for pipe in self._mover.pipes.take_spent():
            self._stock.leave(pipe)
        for sock in tunnel.sockets:
            sock.close()

    def _abandon(self, tunnel: Tunnel) -> trio.lowlevel.Abort:
        tunnel.task = None
        self._remove(tunnel)
        self._mover.drop(tunnel)
        return trio.lowlevel.Abort.SUCCEEDED

    def _forget(self, tunnel: Tunnel) -> None:
        self._remove(tunnel)
        self._mover.drop(tunnel)
        if self._mover.news.pending:
            self._settle()

    def _remove(self, tunnel: Tunnel) -> None:
        self._tunnels.pop(tunnel, None)
        self._flushes.discard(tunnel)
