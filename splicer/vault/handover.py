"""Passing a holder's state through an exec: the new program gets it as JSON; descriptors keep their numbers."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from splicer.vault.held import Channel, Held
from splicer.vault.holder import Holder
from splicer.vault.journal import JournalReader


@dataclass(frozen=True)
class ChannelState:
    """A connection to a worker: descriptors by number; `journal` is -1 without one.

    Several may have the same slot, of which one `serves` it.
    """

    fd: int
    version: int
    slot: int
    serves: bool
    journal: int
    pipes: dict[int, int]


@dataclass(frozen=True)
class TunnelState:
    """A tunnel; `owner` is the index of its worker's channel, or None."""

    key: int
    passport: bytes
    client: int
    pod: int
    slot: int
    adoptions: int
    pipes: dict[int, int]
    owner: int | None
    crashes: int = 0


@dataclass(frozen=True)
class HolderState:
    """The whole state of a holder."""

    slots: int
    channels: tuple[ChannelState, ...]
    tunnels: tuple[TunnelState, ...]


def dump(holder: Holder) -> tuple[HolderState, list[int]]:
    """The state, and all descriptors in it.

    A tunnel whose adoption has not been sent yet has no owner in it, and will be placed again.
    """
    places = {id(channel): place for place, channel in enumerate(holder.channels)}
    unsent = {id(item) for channel in holder.channels for item in channel.outbox}
    channels, tunnels, fds = [], [], []
    for channel in holder.channels:
        journal = channel.journal.fd if channel.journal is not None else -1
        serves = holder.placement.serving.get(channel.slot) is channel
        fd = channel.sock.fileno()
        channels.append(ChannelState(fd, channel.version, channel.slot, serves, journal, dict(channel.pipes)))
        fds += [fd, *channel.pipes.values(), *([journal] if journal >= 0 else [])]
    for held in holder.tunnels.values():
        owner = None if held.owner is None or id(held) in unsent else places[id(held.owner)]
        adoptions = held.adoptions - (id(held) in unsent)
        sockets = held.client, held.pod
        tunnels.append(
            TunnelState(held.key, held.passport, *sockets, held.slot, adoptions, dict(held.pipes), owner, held.crashes)
        )
        fds += [*sockets, *held.pipes.values()]
    return HolderState(holder.placement.slots, tuple(channels), tuple(tunnels)), fds


def restore(holder: Holder, state: HolderState) -> None:
    """Continue the state of a holder of the same process before an exec; its channels may hold unread messages."""
    holder.placement.slots = state.slots
    for channel in state.channels:
        _restore_channel(holder, channel)
    for tunnel in state.tunnels:
        held = Held(tunnel.key, tunnel.passport, tunnel.client, tunnel.pod, tunnel.slot, tunnel.adoptions)
        held.pipes, held.crashes = tunnel.pipes, tunnel.crashes
        holder.tunnels[held.key] = held
        if held.pipes:
            holder.pipes.inherit(held)
        if tunnel.owner is None:
            holder.placement.orphan(held)
        else:
            held.owner = holder.channels[tunnel.owner]
            held.owner.keys[held.key] = None
    holder.placement.place(list(holder.placement.orphans.values()))


def _restore_channel(holder: Holder, state: ChannelState) -> Channel:
    channel = holder.attach(socket.socket(fileno=state.fd))
    channel.version, channel.slot = state.version, state.slot
    channel.pipes = state.pipes
    channel.journal = JournalReader(state.journal) if state.journal >= 0 else None
    if state.serves:
        holder.placement.serving[channel.slot] = channel
    return channel
