"""What a worker answers on its private channel: the admin process asks.

One packet may not hold all rows, and frames must not wait for them: rows go in batches, other tasks in between. A batch
that is too long for a packet goes in several: what rows say came from outside.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import trio

from splicer.ipc import wire
from splicer.ipc.wire import Message

_TIMEOUT = 5.0  # seconds for a packet to be taken: nobody waits as long for an answer

RowBatches = Iterator[list[Message]]
Answer = Callable[[Message], RowBatches]


async def answer_queries(
    sock: socket.socket, answers: Mapping[str, Answer], failed: Callable[[Exception], None]
) -> None:
    """Answer until the other side is gone, or reads nothing for seconds; the channel is closed then.

    Args:
        sock: one end of a private channel, non-blocking.
        answers: what there is to ask; each gives its rows in batches. An empty one is a pause.
        failed: is told of a bug in an answer, and of a row that is too long by itself and was left out.
    """
    try:
        while (words := await _hear(sock)) is not None:
            try:
                for rows in answers.get(str(words.get("ask")), _unknown)(words):
                    if rows:
                        await _say_rows(sock, words.get("n"), rows, failed)
                    await trio.lowlevel.checkpoint()
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - it is told of, and the next question may go well
                failed(error)
            await _say(sock, {"n": words.get("n"), "rows": [], "more": False})
    except OSError:
        return  # it is gone
    finally:
        trio.lowlevel.notify_closing(sock)
        sock.close()


def _unknown(_: Message) -> RowBatches:
    yield []


async def _hear(sock: socket.socket) -> Message | None:
    while True:
        try:
            heard = wire.receive(sock)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        except ValueError:
            return None
        return None if heard is None else heard[0]


async def _say_rows(sock: socket.socket, number: Any, rows: list[Message], failed: Callable[[Exception], None]) -> None:
    try:
        await _say(sock, {"n": number, "rows": rows, "more": True})
    except wire.TooLong as error:
        half = len(rows) // 2
        if not half:
            failed(error)
            return
        for part in (rows[:half], rows[half:]):
            await _say_rows(sock, number, part, failed)


# Who stands still gets another channel when it goes on (`absent`); an answer that waits keeps all that it tells of.
async def _say(sock: socket.socket, words: Message) -> None:
    with trio.move_on_after(_TIMEOUT):
        while True:
            try:
                wire.send(sock, words)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)
            else:
                return
    raise TimeoutError("who has asked reads nothing")
