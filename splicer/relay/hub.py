"""The hub: one epoll, one wake-up and one batch of plain function calls for every frame of every tunnel.

Trio waits on the epoll's own descriptor; a tunnel's task sleeps in `splice` and is woken once, at the end.

A socket leaves the epoll before it is closed, and no descriptor is closed within a batch: an event may be waiting
under its number.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter, sleep

import trio

from splicer.errors import Side
from splicer.relay.coalesce import COALESCE_WINDOW, FrameCoalescer
from splicer.relay.flush import unacknowledged
from splicer.relay.liveness import PeerLiveness
from splicer.relay.mover import Mover
from splicer.relay.pipes import NullRegistry, Pipe, PipePool, PipeRegistry
from splicer.relay.tunnel import READ, WRITE, Leg, ResumeState, Tunnel, TunnelEnd, TunnelLimits, load, resume

_BATCH = 64  # events of one epoll_wait: even if all are bulk, the share is looked at soon
_TURN_SECONDS = 0.002  # seconds that the hub may take before it yields to Trio
_MAX_FRAME_DELAY = 0.00005  # seconds that frames wait while Trio runs other tasks
_REGISTRY_TIMEOUT = 1.0  # seconds that a new tunnel waits until the keeper hears of its pipe
_SWEEP_INTERVAL = 1.0  # seconds at most between two sweeps
_MIN_SWEEP_INTERVAL = 0.01
_SLICE = 256  # tunnels that a sweep looks at in one go: a millisecond, if the kernel is asked about each


class Hub(Mover):
    """Splices any number of tunnels; one instance a worker, its `run` in the worker's nursery.

    Args:
        liveness: tells vanished peers from paused ones; None: one with its own defaults.
        keeper: of the pipes, should this process die; None: nobody.
    """

    def __init__(self, liveness: PeerLiveness | None = None, registry: PipeRegistry | None = None) -> None:
        super().__init__(registry or NullRegistry(), FrameCoalescer(perf_counter()))
        self._legs: dict[int, Leg] = {}
        self._tunnels: dict[Tunnel, None] = {}
        self._doomed: list[Pipe] = []
        self._turned = 0.0  # when the last turn ended, on the clock of `perf_counter`
        self._lively = 0  # tunnels that had moved a byte lately, when the last sweep saw them
        self._task: trio.lowlevel.Task | None = None  # the one that runs the hub
        self._failure: Exception | None = None
        self._letting_go = False
        self.left = 0  # tunnels that were left to the vault
        self._sweep_pause = trio.CancelScope()
        self._liveness = liveness or PeerLiveness()

    @property
    def tunnels(self) -> int:
        """How many tunnels are alive."""
        return len(self._tunnels)

    @property
    def pipes(self) -> PipePool:
        """The relay's pipes, to be counted."""
        return self._pipes

    @contextlib.contextmanager
    def opened(self) -> Iterator[Hub]:
        """Close the hub's own descriptors at the end.

        Raises:
            OSError: no descriptor is left for a single pipe.
        """
        try:
            self._pipes.reserve()
            yield self
        finally:
            self._epoll.close()
            self._pipes.close()
            os.close(self._devnull)

    async def run(self) -> None:
        """Move bytes and keep deadlines until cancelled."""
        self._task = trio.lowlevel.current_task()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            nursery.start_soon(self._flushes.run)
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                if self._failure is not None:
                    raise self._failure
                self.turn()
                self._coalesce()

    async def splice(
        self,
        client: socket.socket,
        pod: socket.socket,
        limits: TunnelLimits,
        *,
        to_client: bytes = b"",
        to_pod: bytes = b"",
        uncounted: int = 0,
        tally: list[int] | None = None,
        key: int = 0,
        owner: object = None,
        register: Callable[[], Awaitable[None]] | None = None,
        past: ResumeState | None = None,
    ) -> TunnelEnd:
        """Relay between two sockets until both directions are over.

        The caller owns the sockets and closes them afterwards. A cancelled `splice` leaves both as they are,
        with what was parked lost.

        Args:
            client: connected and non-blocking.
            pod: connected and non-blocking.
            limits: the deadlines.
            to_client: bytes that go to the client before any other (the 101, and what came with it).
            to_pod: bytes that the client sent early.
            uncounted: how many of the first bytes to the client are no bytes of the tunnel: the 101.
            tally: gets the two counts, [to_pod, to_client] in bytes, whatever the end.
            key: the tunnel's in the journal; even.
            owner: goes with the tunnel wherever it is shown (`live`).
            register: makes the tunnel known to the vault; awaited when all that came early is in pipes, and before a
                byte of it leaves.
            past: what it did with another worker.

        Raises:
            OSError: no descriptor is left for a pipe (EMFILE, ENFILE); nothing has been sent then.
        """
        tunnel = Tunnel(Leg(client, Side.CLIENT), Leg(pod, Side.POD), limits, trio.current_time(), key, owner)
        tunnel.pod.total = -uncounted
        try:
            if past is not None:
                resume(self._pipes, tunnel, past)
                if self._letting_go:
                    self._leave(tunnel)
                    await trio.sleep_forever()
            await self._load(tunnel.pod, to_client)
            await self._load(tunnel.client, to_pod)
            if register is not None:
                await register()
                self.turn_if_due()
            self._admit(tunnel)
            if tunnel.result is None:
                tunnel.task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(lambda _: self._abandon(tunnel))
            assert tunnel.result is not None  # noqa: S101 - the one who reschedules has set it
            if tunnel.error is not None:
                raise tunnel.error
            return tunnel.result
        finally:
            self._forget(tunnel)
            self._close_doomed()
            if tally is not None:
                tally[:] = tunnel.client.total, max(0, tunnel.pod.total)
            if tunnel.result is None:  # it was cancelled, or never began
                tunnel.result = TunnelEnd(Side.PROXY, "shutdown")
            tunnel.break_cycle()

    # Where the keeper can't be told of a new pipe in time there is still the one that is put by, which it knows.
    async def _load(self, leg: Leg, data: bytes) -> None:
        if not data:
            return
        with trio.move_on_after(_REGISTRY_TIMEOUT):
            while True:
                try:
                    load(self._pipes, leg, data)
                except BlockingIOError:
                    if not await self._pipes.registry.wait():
                        break
                else:
                    return
        load(self._pipes, leg, data, self._pipes.take_last())

    def turn(self) -> None:
        """Handle the events that are there, for the hub's share of time at most."""
        now = trio.current_time()
        stop = now + _TURN_SECONDS
        while events := self._epoll.poll(0, _BATCH):
            self._move(events, now)
            now = trio.current_time()
            if now >= stop:
                break
        if self._starved:
            self._feed(now)
        self._turned = perf_counter()

    def _move(self, events: list[tuple[int, int]], now: float) -> None:
        legs, clean = self._legs, self._pipes.clean
        self._coalescer.frames += len(events)
        for fd, mask in events:
            leg = legs.get(fd)
            if leg is None:  # its tunnel ended earlier in this batch
                continue
            try:
                if leg.peer.parked and mask != READ:
                    self._drain(leg.peer, now)
                if not (leg.parked or leg.eof) and mask != WRITE and leg.tunnel.result is None:
                    if clean and not leg.discard:
                        self._pass(leg, clean[-1], now)
                    else:
                        self._fill(leg, now)
            except MemoryError:
                raise  # it would end one call after another: this process ends, and all of them go on elsewhere
            except Exception as error:  # noqa: BLE001 - a bug ends one call, whose task raises it
                leg.tunnel.error = error
                self._end(leg.tunnel, TunnelEnd(Side.PROXY, "crash"))

    # This blocks the whole process for a moment, when paced frames have been all that it had to do. The first nap
    # without a frame is the last one; a frame that comes when Trio waits is moved at once.
    def _coalesce(self) -> None:
        until = self._coalescer.until(self._turned, self._lively)
        full = False
        while self._turned < until:
            if not full:
                sleep(COALESCE_WINDOW)
            events = self._batch()
            if not events:
                break
            full = events == _BATCH

    def _batch(self) -> int:
        """Handle a batch of the events that are there; how many there were."""
        now = trio.current_time()
        events = self._epoll.poll(0, _BATCH)
        self._move(events, now)
        if self._starved:
            self._feed(now)
        self._turned = perf_counter()
        return len(events)

    def turn_if_due(self, task: trio.lowlevel.Task | None = None) -> None:
        """Handle one batch out of turn when the last one is too long ago: more could be a stream's, without end.

        Args:
            task: whose step begins; None: another task's goes on.
        """
        now = perf_counter()
        if task is not self._task:
            self._coalescer.hold(now)
        if now - self._turned >= _MAX_FRAME_DELAY and self._tunnels and self._failure is None:
            try:
                self._batch()
            except Exception as error:  # noqa: BLE001 - `run` raises it: Trio would only print it here
                self._failure = error

    @property
    def live(self) -> list[Tunnel]:
        """Those that are alive, oldest first."""
        return list(self._tunnels)

    def end(self, tunnel: Tunnel, closer: Side, reason: str) -> None:
        """End a tunnel, if it is still alive."""
        if tunnel in self._tunnels:
            self._end(tunnel, TunnelEnd(closer, reason))

    def end_all(self, closer: Side, reason: str) -> None:
        """End every tunnel, as a drain does whose time is up."""
        for tunnel in self.live:
            self._end(tunnel, TunnelEnd(closer, reason))

    # Their tasks sleep on: this process is about to end, and may do nothing to the connections any more. The same holds
    # for one that was adopted and has not begun here.
    def let_go(self) -> None:
        """Leave every tunnel to the vault: close descriptors, which ends no connection, for duplicates are there."""
        self._letting_go = True
        for tunnel in list(self._tunnels):
            tunnel.task = None
            self._leave(tunnel)

    def _leave(self, tunnel: Tunnel) -> None:
        self.left += 1
        for leg in (tunnel.client, tunnel.pod):
            if leg.pipe is not None:
                self._pipes.leave(leg.pipe)
                leg.pipe, leg.parked = None, 0
        self._forget(tunnel)
        for leg in (tunnel.client, tunnel.pod):
            leg.sock.close()

    def _feed(self, now: float) -> None:
        starved, self._starved = self._starved, []
        for leg in starved:
            leg.starved = False
            if leg.tunnel.result is None and leg.tunnel in self._tunnels:
                self._drain(leg, now)

    def _admit(self, tunnel: Tunnel) -> None:
        client, pod = tunnel.client, tunnel.pod
        self._tunnels[tunnel] = None
        self._legs[client.fd] = client
        self._legs[pod.fd] = pod
        for leg in (pod, client):
            if leg.parked:
                self._drain(leg, tunnel.last)
        if tunnel.result is None:
            self._watch(client)
            self._watch(pod)
            self._expect(tunnel)

    # Whatever else ends a tunnel of which a connection broke, that was its end; and what was not acknowledged by then
    # has not arrived.
    def _end(self, tunnel: Tunnel, result: TunnelEnd) -> None:
        if (broken := tunnel.broken()) is not None:
            result = broken
            for leg in (tunnel.client, tunnel.pod):
                leg.peer.total -= unacknowledged(leg)
        tunnel.result = result
        self._forget(tunnel)
        if tunnel.task is not None:
            trio.lowlevel.reschedule(tunnel.task)
            tunnel.task = None

    def _abandon(self, tunnel: Tunnel) -> trio.lowlevel.Abort:
        tunnel.task = None
        self._forget(tunnel)
        return trio.lowlevel.Abort.SUCCEEDED

    def _forget(self, tunnel: Tunnel) -> None:
        self._tunnels.pop(tunnel, None)
        self._flushes.discard(tunnel)
        for leg in (tunnel.client, tunnel.pod):
            if leg.mask:
                self._epoll.unregister(leg.fd)
                leg.mask = 0
            if self._legs.get(leg.fd) is leg:
                del self._legs[leg.fd]
            if leg.pipe is not None:
                self._doomed.append(leg.pipe)
                leg.pipe, leg.parked = None, 0

    def _close_doomed(self) -> None:
        while self._doomed:
            self._pipes.discard(self._doomed.pop())

    def _expect(self, tunnel: Tunnel) -> None:
        self._sweep_pause.deadline = min(self._sweep_pause.deadline, tunnel.due())

    # The next nap is there before the sweep begins: a tunnel that comes meanwhile can shorten it.
    async def _sweep(self) -> None:
        while True:
            now = trio.current_time()
            self._feed(now)
            self._sweep_pause = trio.CancelScope(deadline=now + _SWEEP_INTERVAL)
            await self._look_at_all(self._liveness if self._liveness.is_due(now) else None)
            self._sweep_pause.deadline = max(self._sweep_pause.deadline, trio.current_time() + _MIN_SWEEP_INTERVAL)
            with self._sweep_pause:
                await trio.sleep_forever()

    # The kernel keeps the connection of one who has vanished, so it is told to give what he had sent, and then an end.
    def _lose(self, leg: Leg, now: float) -> None:
        if leg.eof or leg.peer.over:
            self._end(leg.tunnel, TunnelEnd(leg.side, "timed_out"))
            return
        self._write_failed(leg.peer, TimeoutError(), now)
        with contextlib.suppress(OSError):
            leg.sock.shutdown(socket.SHUT_RD)

    # In slices, for frames wait meanwhile; a tunnel may be over by the time that its slice comes.
    async def _look_at_all(self, liveness: PeerLiveness | None) -> None:
        tunnels, lively = list(self._tunnels), 0
        for start in range(0, len(tunnels), _SLICE):
            now = trio.current_time()
            for tunnel in tunnels[start : start + _SLICE]:
                if tunnel not in self._tunnels:
                    continue
                lively += now - tunnel.last < _SWEEP_INTERVAL
                if end := tunnel.overdue(now):
                    self._end(tunnel, end)
                    continue
                if liveness is not None and (gone := liveness.look(tunnel)):
                    self._lose(gone, now)
                self._expect(tunnel)
            await trio.lowlevel.checkpoint()
        self._lively = lively
