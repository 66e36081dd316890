"""What there is before a tunnel moves: early bytes, or what another worker left of it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import trio

from splicer.relay.api import ResumeState
from splicer.relay.pipes import Pipe
from splicer.relay.stock import PipeStock
from splicer.relay.tunnel import Leg, Tunnel

_REGISTRY_TIMEOUT = 1.0  # seconds that a new tunnel waits until the vault hears of its pipe


# The journal's word comes first: a byte must never be in a pipe of which the journal says something else.
async def load(stock: PipeStock, leg: Leg, data: bytes) -> None:
    """Put bytes that were read before the splice into a pipe of the leg's: they go first, and by splice too.

    Args:
        stock: has the pipes.
        leg: where the bytes come from.
        data: the bytes.

    Raises:
        BlockingIOError: the vault can't hear of a new pipe in time.
        OSError: no descriptor for a pipe, or one too small (a user over pipe-user-pages-soft, pipe(7)).
    """
    if not data:
        return
    try:
        pipe = stock.take(len(data))
    except BlockingIOError:
        pipe = await _take_in_time(stock, len(data))
    leg.pipe = pipe
    stock.registry.words[pipe.place] = leg.word
    leg.parked = os.write(pipe.write_fd, data)
    if leg.parked < len(data):
        raise OSError(f"a pipe took {leg.parked} of {len(data)} early bytes")


# Where the vault can't be told of a new pipe in time there is still the one that is put by, which it knows.
async def _take_in_time(stock: PipeStock, least: int) -> Pipe:
    with trio.move_on_after(_REGISTRY_TIMEOUT):
        while await stock.registry.wait():
            with suppress(BlockingIOError):
                return stock.take(least)
    return stock.take_last() or stock.take(least)


def resume(stock: PipeStock, tunnel: Tunnel, past: ResumeState) -> None:
    """Take up a tunnel where another worker left it.

    An end of stream that has not been passed on shows itself again: it can be read any number of times. A reset does
    not, for an error is told once; hence `past.broken`.
    """
    tunnel.client.total, tunnel.pod.total = past.to_pod, past.to_client
    tunnel.last -= past.silent
    tunnel.expires -= past.age
    for leg, fd in zip((tunnel.client, tunnel.pod), past.pipes, strict=True):
        if fd is not None:
            pipe = stock.adopt(fd, leg.word)
            leg.parked = pipe.unread
            if leg.parked:
                leg.pipe = pipe
            else:
                stock.discard(pipe)
        if past.closer is leg.side:
            leg.eof, tunnel.closer = True, leg.side
        if past.broken is leg.side:
            leg.broken = "reset"
        if past.patience and not leg.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT):
            leg.patience = past.patience
