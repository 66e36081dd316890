"""Random schedules against a model: what must arrive, what may, and how each end must see the other leave.

Both ends of many tunnels send, pause, read slowly and leave, each in its own way. The model: what arrives is always
a beginning of what was sent in this tunnel. One who stays to the end gets all of it, and an orderly end of stream,
from a peer that had finished before it left, however it left; and a reset from one that reset in the middle.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from enum import StrEnum

import pytest
import trio
from attrs import define, field

from splicer.relay.instrument import RelayInstrument
from tests.relay.harness import Call, Edge, Pair, Peer, Shutdown, small_tcp_pair, tcp_pair, until

_TCP_CLOSE = 7


class Exit(StrEnum):
    """How an end leaves."""

    STAY = "stay"  # finish, read to the end, close
    LATE_RESET = "late reset"  # finish, reset
    LATE_CLOSE = "late close"  # finish, close with whatever is unread
    RESET = "reset"  # in the middle
    CLOSE = "close"  # in the middle


_IN_THE_MIDDLE = (Exit.RESET, Exit.CLOSE)


@define
class Player:
    """One end, its part, and what it lived through."""

    peer: Peer
    choice: random.Random
    exit: Exit
    data: bytes = field(init=False)
    received: bytearray = field(factory=bytearray)
    finished: bool = False
    ending: Shutdown | None = None
    write_error: OSError | None = None

    def __attrs_post_init__(self) -> None:
        self.data = self.choice.randbytes(self.choice.choice((0, 160, 3_000, 100_000, 1_000_000)))

    async def play(self) -> None:
        async with trio.open_nursery() as nursery:
            if self.exit in _IN_THE_MIDDLE:
                nursery.start_soon(self._leave_in_the_middle, nursery.cancel_scope)
            elif self.exit is not Exit.STAY:
                nursery.start_soon(self._leave_when_finished, nursery.cancel_scope)
            nursery.start_soon(self._write)
            nursery.start_soon(self._read)
        if self.exit in (Exit.RESET, Exit.LATE_RESET):
            self.peer.reset()
        else:
            self.peer.close()

    async def _write(self) -> None:
        view = memoryview(self.data)
        try:
            while view:
                size = self.choice.choice((1, 160, 640, 20_000, 300_000))
                await self.peer.send(view[:size])
                view = view[size:]
                await self._pause()
            self.peer.half_close()
        except OSError as error:
            self.write_error = error
        self.finished = True

    async def _read(self) -> None:
        slow = self.choice.random() < 0.3
        try:
            while part := await self.peer.receive(self.choice.choice((160, 10_000, 1 << 20))):
                self.received += part
                if slow:
                    await self._pause()
            self.ending = Shutdown.EOF
        except ConnectionResetError:
            self.ending = Shutdown.RESET

    async def _leave_in_the_middle(self, everything: trio.CancelScope) -> None:
        for _ in range(self.choice.randrange(60)):
            await trio.lowlevel.checkpoint()
        everything.cancel()

    async def _leave_when_finished(self, everything: trio.CancelScope) -> None:
        await until(lambda: self.finished and (self._is_dead() or not self.peer.unacknowledged()))
        everything.cancel()

    def _is_dead(self) -> bool:
        return self.peer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE

    async def _pause(self) -> None:
        for _ in range(self.choice.randrange(6)):
            await trio.lowlevel.checkpoint()


async def _run(edge: Edge, seed: int) -> None:
    choice = random.Random(seed)
    pair: Callable[[], Pair] = choice.choice((tcp_pair, small_tcp_pair, lambda: tcp_pair(16_384)))
    early = choice.randbytes(choice.choice((0, 0, 20, 40_000))), choice.randbytes(choice.choice((0, 0, 20, 40_000)))
    call: Call = await edge.call(to_client=early[0], to_pod=early[1], pair=pair)
    exits = [choice.choice(tuple(Exit)) for _ in range(2)]
    client, pod = Player(call.client, choice, exits[0]), Player(call.pod, choice, exits[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.play)
        nursery.start_soon(pod.play)
    await call.over()
    _judge(client, pod, early[1] + client.data)
    _judge(pod, client, early[0] + pod.data)


def _judge(sender: Player, reader: Player, data: bytes) -> None:
    assert data.startswith(reader.received)
    if reader.exit is not Exit.STAY:
        return
    if sender.exit not in _IN_THE_MIDDLE:
        assert (reader.received == data, reader.ending) == (True, Shutdown.EOF)
        assert reader.write_error is None
    elif sender.exit is Exit.RESET and not sender.finished:
        assert reader.ending is Shutdown.RESET or isinstance(reader.write_error, ConnectionResetError)


async def _run_many(edge: Edge, seed: int) -> None:
    interleave = RelayInstrument(edge.hub, memoryview(bytearray(8)).cast("q"))
    if seed % 2:
        trio.lowlevel.add_instrument(interleave)
    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(_run, edge, 1000 * seed + number)
    if seed % 2:
        trio.lowlevel.remove_instrument(interleave)
    assert (edge.hub.tunnels, edge.hub.pipes.in_use) == (0, 0)
    assert await edge.sleeps()


@pytest.mark.parametrize("seed", range(20))
async def test_random_schedules(edge: Edge, seed: int) -> None:
    await _run_many(edge, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 150))
async def test_many_more_random_schedules(edge: Edge, seed: int) -> None:
    await _run_many(edge, seed)
