"""What a call that nobody reads costs in the kernel."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest
from trio.testing import wait_all_tasks_blocked

from splicer.model import Endpoint
from splicer.net.bind import bind
from splicer.net.dial import dial
from splicer.net.options import SOCKET_BUFFER
from tests.kit.descriptors import open_descriptors
from tests.relay.harness import Call, Edge, Pair, Peer, settle, until
from tests.relay.registry import unread

MOST = 400 * 1024  # bytes
FLOOD = bytes(1 << 20)
_SO_MEMINFO = 55  # <asm-generic/socket.h>
_RECEIVED, _QUEUED = 0, 5  # SK_MEMINFO_RMEM_ALLOC, SK_MEMINFO_WMEM_QUEUED of <linux/sock_diag.h>


async def _call() -> Call:
    """A call as a worker has it: the client was accepted, the pod was dialled."""
    return Call(_accepted(), await _dialled())


def _accepted() -> Pair:
    with bind("127.0.0.1", 0) as listener:
        outer = socket.create_connection(listener.getsockname())
        inner, _ = listener.accept()
    return _not_blocking(outer, inner)


async def _dialled() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await dial(Endpoint("pod", *listener.getsockname()), SOCKET_BUFFER)
        outer, _ = listener.accept()
    return _not_blocking(outer, stream.sock)


def _not_blocking(outer: socket.socket, inner: socket.socket) -> Pair:
    outer.setblocking(False)
    inner.setblocking(False)
    return outer, inner


def _kernel_memory(sock: socket.socket) -> int:
    """What it has received and not given, and has taken and not got rid of, with the kernel's bookkeeping."""
    info = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))
    return int(info[_RECEIVED] + info[_QUEUED])


def _in_pipes() -> int:
    """Bytes that wait in pipes of this process, whoever made them."""
    descriptors = (entry.partition(" -> ") for entry in open_descriptors())
    pipes = {what: int(number) for number, _, what in descriptors if what.startswith("pipe:")}
    return sum(map(unread, pipes.values()))


async def _stuff(writers: list[Peer]) -> None:
    """Write until nothing on the way takes a byte more."""
    while sum(writer.offer(FLOOD) for writer in writers):
        await settle()


@pytest.mark.parametrize("deaf", ["client", "pod", "both"])
async def test_an_unread_call_is_cheap(edge: Edge, deaf: str) -> None:
    before = _in_pipes()
    call = await edge.take(await _call())
    await _stuff({"client": [call.pod], "pod": [call.client], "both": [call.client, call.pod]}[deaf])
    assert edge.hub.pipes.in_use, "nobody waits for room"
    assert sum(map(_kernel_memory, call.inner)) + _in_pipes() - before < MOST


# Autotuning gives most to those who are quickest; they may stop just then.
@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(lambda call: (call.pod, call.client), id="client"),
        pytest.param(lambda call: (call.client, call.pod), id="pod"),
    ],
)
async def test_one_that_was_read_fast_before_is_as_cheap(edge: Edge, ends: Callable[[Call], tuple[Peer, Peer]]) -> None:
    before = _in_pipes()
    call = await edge.take(await _call())
    writer, reader = ends(call)
    read = 0
    while read < 64 * len(FLOOD):
        writer.offer(FLOOD)
        await wait_all_tasks_blocked()
        read += len(await reader.receive(len(FLOOD)))
    await _stuff([writer])
    await until(lambda: edge.hub.pipes.in_use)
    assert sum(map(_kernel_memory, call.inner)) + _in_pipes() - before < MOST
