"""The hub: one epoll, one wake-up and one batch of plain function calls for every frame of every tunnel.

Trio waits on the epoll's own descriptor; a tunnel's task sleeps in `splice` and is woken once, at the end.

- A clean pipe is taken, filled by one splice and drained at once. Only when the destination is full does it
  stay *parked* with its direction: then that source is not read until the pipe is empty.
- The journal says whose bytes a pipe holds before it holds any: who takes over from a killed worker goes by it.
- Where no pipe can be had, one that is kept for it serves those whose peer has room, and so is never held for long.
- We wait on sockets, never on pipes. With a clean pipe EAGAIN from the fill means "no data".
- Never SPLICE_F_MORE: small frames would wait 200 ms for company.
- A socket leaves the epoll before it is closed, and no descriptor is closed within a batch: an event may be
  waiting under its number.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter, sleep

import trio

from splicer.errors import Side
from splicer.relay.gather import LARGE, NAP, Gathering
from splicer.relay.leg import READ, WRITE, Leg, Past, Tunnel, TunnelEnd, TunnelLimits, load, resume
from splicer.relay.pipes import Keeper, Nobody, Pipe, PipePool
from splicer.relay.vigil import Vigil

_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_BATCH = 64  # events of one epoll_wait: even if all are bulk, the share is looked at soon
_SHARE = 0.002  # seconds that the hub may take before it yields to Trio
_PATIENCE = 0.00005  # seconds that frames wait while Trio runs other tasks
_NAP = 1.0  # seconds at most between two sweeps
_SHORTEST_NAP = 0.01
_SLICE = 256  # tunnels that a sweep looks at in one go: a millisecond, if the vigil asks the kernel about each
_SIOCATMARK = 0x8905  # <linux/sockios.h>: whether the next byte is the urgent one
_PAGE = 4096  # bytes that any clean pipe takes in one piece


class Hub:
    """Splices any number of tunnels; one instance a worker, its `run` in the worker's nursery.

    Args:
        vigil: tells vanished peers from paused ones; None: one with its own defaults.
        keeper: of the pipes, should this process die; None: nobody.
    """

    def __init__(self, vigil: Vigil | None = None, keeper: Keeper | None = None) -> None:
        self._epoll = select.epoll()
        self._pipes = PipePool(keeper or Nobody())
        self._words = self._pipes.keeper.words
        self._devnull = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._legs: dict[int, Leg] = {}
        self._tunnels: dict[Tunnel, None] = {}
        self._doomed: list[Pipe] = []
        self._starved: list[Leg] = []
        self._turned = 0.0  # when the last turn ended, on the clock of `perf_counter`
        self._gathering = Gathering(perf_counter())
        self._lively = 0  # tunnels that had moved a byte lately, when the last sweep saw them
        self._task: trio.lowlevel.Task | None = None  # the one that runs the hub
        self._failure: Exception | None = None
        self._letting_go = False
        self.left = 0  # tunnels that were left to the vault
        self._nap = trio.CancelScope()
        self._vigil = vigil or Vigil()

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
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                if self._failure is not None:
                    raise self._failure
                self.turn()
                self._gather()

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
        past: Past | None = None,
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
            if tunnel.result is not None:
                tunnel.part()

    async def _load(self, leg: Leg, data: bytes) -> None:
        while data:
            try:
                load(self._pipes, leg, data)
            except BlockingIOError:
                await self._pipes.keeper.wait()
            else:
                return

    def turn(self) -> None:
        """Handle the events that are there, for the hub's share of time at most."""
        now = trio.current_time()
        stop = now + _SHARE
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
        self._gathering.frames += len(events)
        for fd, mask in events:
            leg = legs.get(fd)
            if leg is None:  # its tunnel ended earlier in this batch
                continue
            try:
                if leg.peer.parked and mask != READ:
                    self._drain(leg.peer, now)
                if not (leg.parked or leg.eof) and mask != WRITE and leg.tunnel.result is None:
                    if clean and not leg.sink:
                        self._pass(leg, clean[-1], now)
                    else:
                        self._fill(leg, now)
            except Exception as error:  # noqa: BLE001 - a bug ends one call, whose task raises it
                leg.tunnel.error = error
                self._end(leg.tunnel, TunnelEnd(Side.PROXY, "crash"))

    # This blocks the whole process for a moment, when paced frames have been all that it had to do. The first nap
    # without a frame is the last one; a frame that comes when Trio waits is moved at once.
    def _gather(self) -> None:
        until = self._gathering.until(self._turned, self._lively)
        full = False
        while self._turned < until:
            if not full:
                sleep(NAP)
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
            self._gathering.hold(now)
        if now - self._turned >= _PATIENCE and self._tunnels and self._failure is None:
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

    # What a frame does as a rule, in one go: the pipe stays in the pool, for it is clean again at once, and nobody else
    # runs meanwhile. Whatever leaves bytes in it takes it out.
    def _pass(self, leg: Leg, pipe: Pipe, now: float) -> None:
        self._words[pipe.place] = leg.word
        try:
            count = os.splice(leg.fd, pipe.write_fd, pipe.size, flags=_FLAGS)
        except BlockingIOError:
            self._fill(leg, now)  # nothing there, or urgent data
            return
        except OSError as error:
            self._read_failed(leg, error)
            return
        if not count:
            self._read_eof(leg, now)
            return
        if count > LARGE:
            self._gathering.frames += count // 1024
        try:
            sent = os.splice(pipe.read_fd, leg.peer.fd, count, flags=_FLAGS)
        except BaseException as error:
            leg.pipe, leg.parked = self._pipes.take(), count
            if not isinstance(error, OSError):
                raise
            if not isinstance(error, BlockingIOError):
                self._write_failed(leg, error, now)
        else:
            leg.total += sent
            leg.tunnel.last = now
            if sent == count:
                return
            leg.pipe, leg.parked = self._pipes.take(), count - sent
        if leg.parked:
            self._watch(leg)
            self._watch(leg.peer)

    # Bytes leave the source's socket only into a pipe that is clean, and stay in it until the peer took them.
    def _fill(self, leg: Leg, now: float) -> None:
        most = _PAGE
        try:
            pipe = self._pipes.take()
            most = pipe.size
        except OSError:
            if (last := self._make_do(leg)) is None:
                return
            pipe = last
        self._words[pipe.place] = leg.word
        try:
            try:
                count = os.splice(leg.fd, pipe.write_fd, most, flags=_FLAGS)
            except BlockingIOError:
                count = _copy(leg.sock, pipe)
        except BlockingIOError:
            self._pipes.give_back(pipe)
            return
        except OSError as error:
            self._pipes.give_back(pipe)
            self._read_failed(leg, error)
            return
        if not count:
            self._pipes.give_back(pipe)
            self._read_eof(leg, now)
            return
        leg.pipe, leg.parked = pipe, count
        self._drain(leg, now)
        if leg.parked:
            self._watch(leg)
            self._watch(leg.peer)

    # When no pipe can be had there is still the last one. It is lent only to a direction whose peer has room for all
    # that is put into it, so one slow reader holds up nobody else. Who has to wait for room, or for the last pipe,
    # counts as parked without a pipe: nothing has been read, and the fill is tried anew.
    def _make_do(self, leg: Leg) -> Pipe | None:
        has_room = leg.sink or _has_room(leg.peer)
        pipe = self._pipes.take_last() if has_room else None
        if pipe is None:
            leg.parked, leg.starved = 1, has_room
            if has_room:
                self._starved.append(leg)
            self._watch(leg)
            self._watch(leg.peer)
        return pipe

    def _feed(self, now: float) -> None:
        starved, self._starved = self._starved, []
        for leg in starved:
            leg.starved = False
            if leg.tunnel.result is None and leg.tunnel in self._tunnels:
                self._drain(leg, now)

    def _drain(self, leg: Leg, now: float) -> None:
        pipe = leg.pipe
        if pipe is None:
            leg.parked = 0
            self._fill(leg, now)
            self._watch(leg)
            self._watch(leg.peer)
            return
        try:
            count = os.splice(pipe.read_fd, self._devnull if leg.sink else leg.peer.fd, leg.parked, flags=_FLAGS)
        except BlockingIOError:
            return
        except OSError as error:
            self._write_failed(leg, error, now)
            return
        leg.parked -= count
        if not leg.sink:
            leg.total += count
            leg.tunnel.last = now
        if not leg.parked:
            leg.pipe = None
            self._pipes.give_back(pipe)
            if leg.peer.mask & WRITE:
                self._watch(leg)
                self._watch(leg.peer)

    # A direction ends only when its source's end of stream was read and its pipe is empty: `_fill` reads with a
    # clean pipe, so an end of stream never overtakes bytes.
    def _read_eof(self, leg: Leg, now: float) -> None:
        tunnel, peer = leg.tunnel, leg.peer
        if leg.broken:
            self._end(tunnel, TunnelEnd(leg.side, leg.broken, reset=leg.broken == "reset"))
            return
        leg.eof = True
        if tunnel.closer is None:
            tunnel.closer = leg.side
        tunnel.last = now
        if peer.eof:
            self._end(tunnel, TunnelEnd(tunnel.closer, "eof"))
            return
        with contextlib.suppress(OSError):  # a peer that is gone shows itself when it is read or written
            peer.sock.shutdown(socket.SHUT_WR)
        self._watch(leg)
        self._expect(tunnel)

    def _read_failed(self, leg: Leg, error: OSError) -> None:
        reason = leg.broken or _word(error)
        self._end(leg.tunnel, TunnelEnd(leg.side, reason, reset=reason == "reset"))

    # The peer takes no more. What it sent before it broke is still delivered: its own end, or error, is read in
    # its turn and says how the tunnel ends. If its end of stream was read long ago, only this direction suffers;
    # so too if that is there but not yet read: then the first write hears EPIPE (Linux, tcp_reset() in CLOSE_WAIT).
    def _write_failed(self, leg: Leg, error: OSError, now: float) -> None:
        tunnel, peer = leg.tunnel, leg.peer
        leg.sink = True
        if not isinstance(error, BrokenPipeError):
            peer.broken = _word(error)
        if tunnel.closer is None:
            tunnel.closer = peer.side
            tunnel.last = now
            self._expect(tunnel)
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

    def _watch(self, leg: Leg) -> None:
        wanted = leg.wanted()
        if wanted == leg.mask or leg.tunnel.result is not None:
            return
        if not wanted:
            self._epoll.unregister(leg.fd)
        elif leg.mask:
            self._epoll.modify(leg.fd, wanted)
        else:
            self._epoll.register(leg.fd, wanted)
        leg.mask = wanted

    def _end(self, tunnel: Tunnel, result: TunnelEnd) -> None:
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
        self._nap.deadline = min(self._nap.deadline, tunnel.due())

    # The next nap is there before the sweep begins: a tunnel that comes meanwhile can shorten it.
    async def _sweep(self) -> None:
        while True:
            now = trio.current_time()
            self._feed(now)
            self._nap = trio.CancelScope(deadline=now + _NAP)
            await self._look_at_all(self._vigil if self._vigil.is_due(now) else None)
            self._nap.deadline = max(self._nap.deadline, trio.current_time() + _SHORTEST_NAP)
            with self._nap:
                await trio.sleep_forever()

    # In slices, for frames wait meanwhile; a tunnel may be over by the time that its slice comes.
    async def _look_at_all(self, vigil: Vigil | None) -> None:
        tunnels, lively = list(self._tunnels), 0
        for start in range(0, len(tunnels), _SLICE):
            now = trio.current_time()
            for tunnel in tunnels[start : start + _SLICE]:
                if tunnel not in self._tunnels:
                    continue
                lively += now - tunnel.last < _NAP
                end = tunnel.overdue(now) or (vigil.look(tunnel) if vigil else None)
                if end is not None:
                    self._end(tunnel, end)
                else:
                    self._expect(tunnel)
            await trio.lowlevel.checkpoint()
        self._lively = lively


# splice(2) stops in front of urgent data (RFC 6093) for ever, though the socket stays readable; recv(2) goes on. Only
# that one byte goes through our memory: who is killed between these two calls loses what is there.
def _copy(sock: socket.socket, pipe: Pipe) -> int:
    if not any(fcntl.ioctl(sock, _SIOCATMARK, bytes(4))):
        raise BlockingIOError
    return os.write(pipe.write_fd, sock.recv(1))


def _has_room(leg: Leg) -> bool:
    poll = select.poll()
    poll.register(leg.fd, select.POLLOUT)
    return bool(poll.poll(0))


def _word(error: OSError) -> str:
    if isinstance(error, ConnectionResetError):
        return "reset"
    if isinstance(error, TimeoutError):
        return "timed_out"
    return os.strerror(error.errno or 0).lower().replace(" ", "_")
