"""Preparing a tunnel: its early bytes, or the state in which another worker left it, are put in place."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import trio

from splicer.relay.api import ResumeState
from splicer.relay.pipes import Pipe
from splicer.relay.stock import PipeStock
from splicer.relay.tunnel import Leg, Tunnel

_REGISTRY_TIMEOUT = 1.0  # seconds for which a new tunnel waits until its pipe is registered with the vault


# The journal's word is written first: a byte must never be in a pipe while the journal names another tunnel for it.
async def load(stock: PipeStock, leg: Leg, data: bytes) -> None:
    """Write bytes that were read before the splice into a pipe of the leg; they are sent first, by splice too.

    Args:
        stock: gives the pipe.
        leg: the leg from which the bytes come.
        data: the bytes.

    Raises:
        BlockingIOError: a new pipe can't be registered with the vault in time.
        OSError: there is no descriptor for a pipe, or the pipe is too small (a user over pipe-user-pages-soft,
            pipe(7)).
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


# If a new pipe can't be registered in time, there is still the reserve pipe, which is registered already.
async def _take_in_time(stock: PipeStock, least: int) -> Pipe:
    with trio.move_on_after(_REGISTRY_TIMEOUT):
        while await stock.registry.wait():
            with suppress(BlockingIOError):
                return stock.take(least)
    return stock.take_last() or stock.take(least)


def resume(stock: PipeStock, tunnel: Tunnel, past: ResumeState) -> None:
    """Continue a tunnel in the state in which another worker left it.

    An end of stream that has not been passed on is simply read again. A reset is not: the kernel reports an error only
    once, so `past.broken` has it.
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
        # A tls process that has died, or whose peer has broken off, has sent no end of stream: it is read again.
        if past.closer is leg.side and (leg.peer_end is None or leg.peer_end.end == "eof"):
            leg.eof, tunnel.closer = True, leg.side
        if past.broken is leg.side:
            leg.broken = "reset"
        if (
            past.patience
            and leg.peer_end is None
            and not leg.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        ):
            leg.patience = past.patience
