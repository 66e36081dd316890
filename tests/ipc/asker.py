"""One who asks over a worker's private channel, and the worker's side that answers."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from splicer.ipc import wire
from splicer.ipc.message import understand
from splicer.ipc.queries import ClosedRow, CloseTunnel, Question, Rows
from splicer.ipc.query import Answers, RowBatches, answer_queries
from splicer.vault.protocol import channel

Answer = Callable[[Any], RowBatches]


class Asker:
    """The admin process's end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sizes: list[int] = []

    def ask(self, what: type[Question[Any]] = CloseTunnel, number: int = 1) -> None:
        wire.send(self.sock, CloseTunnel(number, "a") if what is CloseTunnel else what(number))

    async def packet(self) -> Rows[Any] | None:
        """One packet, whatever its length; None: it is the end."""
        with trio.fail_after(20):
            await trio.lowlevel.wait_readable(self.sock)
        data = self.sock.recv(1 << 22)
        self.sizes.append(len(data))
        return understand(Rows, json.loads(data)) if data else None

    async def answer(self) -> tuple[int, list[Any]]:
        """A whole one: its number, and the rows."""
        rows: list[Any] = []
        while True:
            packet = await self.packet()
            assert packet is not None
            rows += packet.rows
            if not packet.more:
                return packet.request, rows

    def hears_nothing(self) -> bool:
        try:
            self.sock.recv(1 << 22, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False


def failed(error: Exception) -> None:
    """No answer here has a bug."""
    raise error


class Answering:
    """Whether it still answers."""

    def __init__(self) -> None:
        self._over = trio.Event()

    async def run(self, sock: socket.socket, answers: Answers) -> None:
        await answer_queries(sock, answers, failed)
        assert sock.fileno() == -1
        self._over.set()

    async def over(self) -> None:
        with trio.fail_after(20):
            await self._over.wait()


@asynccontextmanager
async def asking(answers: Answers) -> AsyncIterator[tuple[Asker, Answering]]:
    ours, its = channel()
    answering = Answering()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering.run, its, answers)
            yield Asker(ours), answering
            ours.close()
            await answering.over()


def row(number: int, padding: int = 0) -> ClosedRow:
    return ClosedRow(f"{number}{' ' * padding}")


def numbers(count: int, padding: int = 0) -> Answer:
    """A row a batch."""
    return lambda _: ([row(number, padding)] for number in range(count))
