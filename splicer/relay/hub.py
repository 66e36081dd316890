"""The hub: one epoll, one wake-up and one batch of plain function calls for every frame of every tunnel.

Trio waits on the epoll's own descriptor; a tunnel's task sleeps in `splice` and is woken once, at the end.

- A clean pipe is taken, filled by one splice and drained at once. Only when the destination is full does it
  stay *parked* with its direction: then that source is not read until the pipe is empty.
- Without a descriptor for a pipe bytes are copied; they leave the source's socket when the peer has taken them.
- We wait on sockets, never on pipes. With a clean pipe EAGAIN from the fill means "no data".
- Never SPLICE_F_MORE: small frames would wait 200 ms for company.
- A socket leaves the epoll before it is closed, and no descriptor is closed within a batch: an event may be
  waiting under its number.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from time import perf_counter

import trio

from splicer.errors import Side
from splicer.relay.leg import READ, WRITE, Leg, Tunnel, TunnelEnd, TunnelLimits, load
from splicer.relay.pipes import Pipe, PipePool
from splicer.relay.vigil import Vigil

_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_BATCH = 64  # events of one epoll_wait: even if all are bulk, the share is looked at soon
_SHARE = 0.002  # seconds that the hub may take before it yields to Trio
_PATIENCE = 0.001  # seconds that frames wait while Trio runs other tasks
_NAP = 1.0  # seconds at most between two sweeps
_SHORTEST_NAP = 0.01
_SLICE = 256  # tunnels that a sweep looks at in one go: a millisecond, if the vigil asks the kernel about each
_PAGE = 4096  # bytes that any clean pipe takes in one piece


class Hub:
    """Splices any number of tunnels; one instance a worker, its `run` in the worker's nursery.

    Args:
        vigil: tells vanished peers from paused ones; None: one with its own defaults.
    """

    def __init__(self, vigil: Vigil | None = None) -> None:
        self._epoll = select.epoll()
        self._pipes = PipePool()
        self._devnull = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._legs: dict[int, Leg] = {}
        self._tunnels: dict[Tunnel, None] = {}
        self._doomed: list[Pipe] = []
        self._turned = 0.0  # when the last turn ended, on the clock of `perf_counter`
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
        """Close the hub's own descriptors at the end."""
        try:
            yield self
        finally:
            self._epoll.close()
            self._pipes.close()
            os.close(self._devnull)

    async def run(self) -> None:
        """Move bytes and keep deadlines until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self.turn()

    async def splice(
        self,
        client: socket.socket,
        pod: socket.socket,
        limits: TunnelLimits,
        *,
        to_client: bytes = b"",
        to_pod: bytes = b"",
        tally: list[int] | None = None,
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
            tally: gets the two counts, [to_pod, to_client] in bytes, whatever the end.

        Raises:
            OSError: no descriptor is left for a pipe (EMFILE, ENFILE); nothing has been sent then.
        """
        tunnel = Tunnel(Leg(client, Side.CLIENT), Leg(pod, Side.POD), limits, trio.current_time())
        try:
            load(self._pipes.take, tunnel.pod, to_client)
            load(self._pipes.take, tunnel.client, to_pod)
            self._admit(tunnel)
            if tunnel.result is None:
                tunnel.task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(lambda _: self._abandon(tunnel))
            assert tunnel.result is not None  # noqa: S101 - the one who reschedules has set it
            return tunnel.result
        finally:
            self._forget(tunnel)
            self._close_doomed()
            if tally is not None:
                tally[:] = tunnel.client.total, tunnel.pod.total

    def turn(self) -> None:
        """Handle the events that are there, for the hub's share of time at most."""
        poll, legs = self._epoll.poll, self._legs
        now = trio.current_time()
        stop = now + _SHARE
        while events := poll(0, _BATCH):
            for fd, mask in events:
                leg = legs.get(fd)
                if leg is None:  # its tunnel ended earlier in this batch
                    continue
                if leg.peer.parked and mask != READ:
                    self._drain(leg.peer, now)
                if not (leg.parked or leg.eof) and mask != WRITE and leg.tunnel.result is None:
                    self._fill(leg, now)
            now = trio.current_time()
            if now >= stop:
                break
        self._turned = perf_counter()

    def turn_if_due(self) -> None:
        """Take a turn out of turn when the last one is too long ago. This runs before each step of each task."""
        if perf_counter() - self._turned >= _PATIENCE and self._tunnels:
            self.turn()

    def end_all(self, closer: Side, reason: str) -> None:
        """End every tunnel, as a drain does whose time is up."""
        for tunnel in list(self._tunnels):
            self._end(tunnel, TunnelEnd(closer, reason))

    # Bytes leave the source's socket only into a pipe that is clean, and stay in it until the peer took them.
    def _fill(self, leg: Leg, now: float) -> None:
        try:
            pipe = self._pipes.take()
        except OSError:
            self._carry(leg, now)
            return
        try:
            try:
                count = os.splice(leg.fd, pipe.write_fd, pipe.size, flags=_FLAGS)
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

    # When no pipe can be made, bytes stay in the source's socket until the peer has taken them: only then are they
    # read away. So a live call needs no descriptor, and one slow reader with the only pipe holds up nobody else.
    # What the peer has no room for counts as parked, without a pipe; when there is room the fill is tried anew.
    def _carry(self, leg: Leg, now: float) -> None:
        try:
            data = leg.sock.recv(_PAGE, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError as error:
            self._read_failed(leg, error)
            return
        if not data:
            self._read_eof(leg, now)
            return
        try:
            count = len(data) if leg.sink else leg.peer.sock.send(data)
        except BlockingIOError:
            leg.parked = len(data)
            self._watch(leg)
            self._watch(leg.peer)
            return
        except OSError as error:
            self._write_failed(leg, error, now)
            return
        leg.sock.recv(count)
        if not leg.sink:
            leg.total += count
            leg.tunnel.last = now

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
            self._nap = trio.CancelScope(deadline=now + _NAP)
            await self._look_at_all(self._vigil if self._vigil.is_due(now) else None)
            self._nap.deadline = max(self._nap.deadline, trio.current_time() + _SHORTEST_NAP)
            with self._nap:
                await trio.sleep_forever()

    # In slices, for frames wait meanwhile; a tunnel may be over by the time that its slice comes.
    async def _look_at_all(self, vigil: Vigil | None) -> None:
        tunnels = list(self._tunnels)
        for start in range(0, len(tunnels), _SLICE):
            now = trio.current_time()
            for tunnel in tunnels[start : start + _SLICE]:
                if tunnel not in self._tunnels:
                    continue
                end = tunnel.overdue(now) or (vigil.look(tunnel) if vigil else None)
                if end is not None:
                    self._end(tunnel, end)
                else:
                    self._expect(tunnel)
            await trio.lowlevel.checkpoint()


# splice(2) stops in front of urgent data (RFC 6093) for ever, though the socket stays readable; recv(2) goes on.
def _copy(sock: socket.socket, pipe: Pipe) -> int:
    return os.write(pipe.write_fd, sock.recv(_PAGE))


def _word(error: OSError) -> str:
    if isinstance(error, ConnectionResetError):
        return "reset"
    if isinstance(error, TimeoutError):
        return "timed_out"
    return os.strerror(error.errno or 0).lower().replace(" ", "_")
