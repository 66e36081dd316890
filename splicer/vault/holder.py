"""The vault: it holds a duplicate of every live tunnel's sockets and of every relay pipe.

splice(2) keeps each byte in a kernel object, so a worker that is killed, at any instruction, has none in its memory.
The next worker gets the descriptors, drains each pipe that holds bytes to the direction named by the journal, and goes
on.

- One owner at every instant: a worker's channel is read to its end, past any error, before its tunnels go to another.
  The end comes when the kernel has closed the last of its descriptors, and no thread of it runs any more.
- A pipe's bytes never go to another call than the one that the journal names (`vault/pipes.py`).
- Nothing here waits: both ends of a channel are non-blocking, and what doesn't fit waits in an outbox.
"""

from __future__ import annotations

import os
import resource
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from splicer.vault import protocol
from splicer.vault.fitness import has_fit_descriptors
from splicer.vault.held import Channel, Held
from splicer.vault.journal import PLACES, JournalReader
from splicer.vault.pipes import Pipes
from splicer.vault.placement import Placement
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind, Message, ProtocolError

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_SHARE = 64  # messages of one channel in a row
TICK = 0.1  # seconds between two calls of `tidy` while tunnels wait for a worker, or pipes of dead ones hold bytes
_READ_INTERVAL = 0.02  # seconds between two turns of the loop that read messages, if these come so fast
_URGENT_TICK = 0.02  # the same while a call may have to go to a worker of another slot
_CALM_TICK = 1.0  # the same while there is nothing to tidy
_LOG_INTERVAL = 10.0  # seconds between two `vault_full` lines
KEEP_SECONDS = 600.0  # seconds for which a call without a worker is kept

Log = Callable[..., None]
Tls = Callable[[socket.socket, int], None]


class Holder:
    """Holds tunnels for any number of workers; its owner runs the selector's callbacks, and calls `tidy` and `rest`.

    Args:
        selector: watches the channels; a key's data is a callback that takes the events.
        log: called as `log(event, **fields)`.
        keep: seconds for which a tunnel without a worker is kept.
        tls: takes a supervisor's channel and its TLS table; None: this vault has no tls processes.
    """

    def __init__(
        self, selector: selectors.BaseSelector, log: Log, keep: float = KEEP_SECONDS, tls: Tls | None = None
    ) -> None:
        self._selector = selector
        self._log = log
        self._keep = keep
        self._tls = tls
        self.tunnels: dict[int, Held] = {}
        self.placement = Placement(self._flush_all)
        self.pipes = Pipes(self.tunnels)
        self.channels: list[Channel] = []
        self.listeners: tuple[bytes, tuple[int, ...]] = (b"[]", ())
        # A new descriptor gets the lowest free number, so a number over `_most` means that few are left. These are
        # reserved for pipes: without them, calls that are already held could not go on.
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = soft - min(1024, soft // 8)
        self._full_logged = -_LOG_INTERVAL
        self._has_read = False  # a channel to its end, in this turn of the loop
        self._read_next = 0.0  # when messages are to be read again

    def attach(self, sock: socket.socket) -> Channel:
        """Serve a connection; the holder owns the socket from now on."""
        sock.setblocking(False)
        channel = Channel(sock)
        self.channels.append(channel)
        self._selector.register(sock, _READ, partial(self._ready, channel))
        return channel

    # Messages and ends of channels change it.
    @property
    def tidy_interval(self) -> float:
        """Seconds between two calls of `tidy`, as things are now."""
        if self.placement.is_urgent:
            return _URGENT_TICK
        return TICK if self.placement.orphans or self.pipes.inherited else _CALM_TICK

    def tidy(self) -> None:
        """Close drained pipes of dead workers, place tunnels that have waited for their slots, close abandoned ones."""
        self.pipes.close_drained()
        self.placement.place_due()
        for held in self.placement.kept_longer_than(self._keep):
            self._log("tunnel_abandoned", level="error", kept=self._keep, slot=held.slot)
            held.shut()
            self._forget(held)

    # A message that is in its channel outlives its sender: the tunnel that it registers is safe. So messages that come
    # fast are read together: to wake up for each would take several times as long as the message.
    def rest(self) -> None:
        """Sleep for a moment if messages have come faster than `_READ_INTERVAL`; its owner calls it in each turn."""
        if self._has_read:
            self._has_read = False
            time.sleep(max(0.0, self._read_next - time.monotonic()))
            self._read_next = time.monotonic() + _READ_INTERVAL

    def _ready(self, channel: Channel, events: int) -> None:
        if events & _WRITE:
            self._flush(channel)
        if events & _READ:
            for _ in range(_SHARE):
                try:
                    message = protocol.receive(channel.sock)
                except BlockingIOError:
                    self._has_read = True
                    return
                except ProtocolError as error:
                    self._miss(channel, error)
                    continue
                except ConnectionError:
                    message = None
                if message is None:
                    self._lost(channel)
                    return
                self._handle(channel, message)

    def _miss(self, channel: Channel, error: ProtocolError) -> None:
        if error.message is not None and error.message.kind == Kind.TUNNEL:
            self._refuse(channel, error.message.number)
        else:
            self._log("vault_message_lost", level="error", error=str(error), slot=channel.slot)

    def _handle(self, channel: Channel, message: Message) -> None:
        kind, number, fds = message.kind, message.number, message.fds
        channel.version = message.version if message.understood else channel.version
        if not message.understood:
            message.close()
            self._log("vault_refuses", level="error", version=message.version, understood=protocol.VERSION)
            self._post(channel, protocol.pack(Kind.REFUSED))
        elif not has_fit_descriptors(message):
            message.close()
            self._log("vault_message_lost", level="error", error=f"kind {kind} with {len(fds)} unfit descriptors")
        elif kind == Kind.TUNNEL:
            self._take(channel, message)
        elif kind == Kind.RELEASE:
            for key in (number, *protocol.keys(message.payload)):
                held = self.tunnels.get(key)
                if held is not None and held.owner is channel:
                    self._forget(held)
        elif kind == Kind.RETURN:
            self._take_back(channel, number)
        elif kind == Kind.PIPE and number < PLACES:
            self.pipes.add(channel, number, fds[0])
        elif kind == Kind.DROP:
            self.pipes.drop(channel, number, int.from_bytes(message.payload, "big"))
        elif kind == Kind.LEAVE:
            channel.leaves = True
        elif kind == Kind.HELLO and channel.journal is None:
            self._open_journal(channel, fds[0])
        elif kind == Kind.SERVE and number and message.quantity:
            self.placement.serve(channel, number, message.quantity)
        elif kind in (Kind.ASK, Kind.LISTENERS, Kind.TLS) and self._is_supervised(channel):
            message.close()
            self._post(channel, protocol.pack(Kind.REFUSED, flags=1, version=channel.version))
        elif kind == Kind.COUNT:
            slots = protocol.pack_keys(self.placement.orphaned_slots)
            flags = 0 if self._tls is None else protocol.HAS_TLS
            count = len(self.tunnels)
            self._post(
                channel, protocol.pack(Kind.COUNT, 0, slots, flags=flags, quantity=count, version=channel.version)
            )
        elif kind == Kind.TLS and self._tls is not None:
            channel.supervises = True
            self._tls(socket.socket(fileno=fds[0]), fds[1])
        elif kind == Kind.LISTENERS:
            for fd in self.listeners[1]:
                os.close(fd)
            self.listeners = message.payload, fds
            channel.supervises = True
        elif kind == Kind.ASK:
            listeners = protocol.pack(Kind.LISTENERS, payload=self.listeners[0], version=channel.version)
            self._post(channel, listeners, self.listeners[1])
        else:
            message.close()
            self._log("vault_message_lost", level="error", error=f"kind {kind} of number {number}")

    # A supervisor that was just replaced may be dead although the end of its channel has not been read yet.
    def _is_supervised(self, channel: Channel) -> bool:
        return any(one.supervises and not one.is_gone() for one in self.channels if one is not channel)

    def _refuse(self, channel: Channel, key: int) -> None:
        self._post(channel, protocol.pack(Kind.RETURN, key, version=channel.version))
        now = time.monotonic()
        if now - self._full_logged > _LOG_INTERVAL:
            self._full_logged = now
            self._log("vault_full", level="error", tunnels=len(self.tunnels), remedy="a higher limit of open files")

    def _open_journal(self, channel: Channel, fd: int) -> None:
        try:
            channel.journal = JournalReader(fd)
        except (OSError, ValueError) as error:
            self._log("vault_message_lost", level="error", error=f"no journal: {error}")

    # A worker sends TUNNEL before the peers see a byte of the tunnel, and again only to a vault that is new.
    def _take(self, channel: Channel, message: Message) -> None:
        client, pod, *pipes = message.fds
        if message.number in self.tunnels or max(client, pod) >= self._most:
            message.close()
            if message.number not in self.tunnels:
                self._refuse(channel, message.number)
            return
        held = Held(message.number, message.payload, client, pod, channel.slot, message.quantity)
        held.crashes = protocol.crashes(message.flags)
        if pipes:
            directions = [way for way in (TO_POD, TO_CLIENT) if message.flags & protocol.parked(way)]
            held.pipes = dict(zip(directions, pipes, strict=False))
            self.pipes.inherit(held)
        held.owner = channel
        channel.keys[held.key] = None
        self.tunnels[held.key] = held

    def _take_back(self, channel: Channel, key: int) -> None:
        held = self.tunnels.get(key)
        if held is not None and held.owner is channel:
            self.placement.take_back(held)

    def _forget(self, held: Held) -> None:
        if held.owner is not None:
            held.owner.keys.pop(held.key, None)
        del self.tunnels[held.key]
        self.placement.forget(held)
        self.pipes.forget(held)
        held.close()

    def _give_up(self, item: Held | tuple[bytes, tuple[int, ...]], error: OSError) -> None:
        self._log("vault_tunnel_unfit", level="error", error=error.strerror, tunnel=isinstance(item, Held))
        if isinstance(item, Held):
            item.shut()
            self._forget(item)

    # All messages of the worker have been read; now the journal says to which tunnels the bytes in its pipes belong.
    def _lost(self, channel: Channel) -> None:
        self._selector.unregister(channel.sock)
        channel.sock.close()
        self.channels.remove(channel)
        self.placement.leave(channel)
        dirty = self.pipes.sort(channel)
        # In reverse order: the tunnels that came last may not have been served before the worker died.
        orphans = [self.tunnels[key] for key in reversed(channel.keys)]
        for held in orphans:
            held.crashes += not channel.leaves
            self.placement.orphan(held)
        if orphans:
            self._log("tunnels_orphaned", slot=channel.slot, tunnels=len(orphans), pipes=dirty)
        self.placement.place(orphans)

    def _flush_all(self) -> None:
        for channel in self.channels:
            if channel.outbox:
                self._flush(channel)

    def _post(self, channel: Channel, data: bytes, fds: tuple[int, ...] = ()) -> None:
        channel.outbox.append((data, fds))
        self._flush(channel)

    # A tunnel's message is made when it is sent, from its state at that time. If the channel is broken, the items stay
    # queued: its end is read next. An item that can't be sent for another reason must not block those behind it.
    def _flush(self, channel: Channel) -> None:
        outbox = channel.outbox
        with suppress(BlockingIOError, ConnectionError):
            while outbox:
                item = outbox[0]
                try:
                    data, fds = item.message(channel.version) if isinstance(item, Held) else item
                    protocol.send(channel.sock, data, fds)
                except (BlockingIOError, ConnectionError):
                    raise
                except OSError as error:
                    self._give_up(item, error)
                outbox.popleft()
        wanted = _READ | _WRITE if outbox else _READ
        if self._selector.get_key(channel.sock).events != wanted:
            self._selector.modify(channel.sock, wanted, partial(self._ready, channel))
