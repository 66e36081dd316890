"""Answering the admin process's questions, on a channel between it and a worker.

One packet may not hold all rows, and frames must not wait for them: rows are sent in batches, and other tasks run in
between. A batch that is too long for a packet is split, because texts in rows come from outside.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import trio

from splicer.ipc import wire
from splicer.ipc.queries import Question, Rows, UnknownQuestion
from splicer.ipc.wire import Received

_TIMEOUT = 5.0  # seconds for a packet to be read; no request waits that long for an answer

RowBatches = Iterator[list[Any]]  # rows of the question's answer
Answers = Mapping[type[Question[Any]], Callable[[Any], RowBatches]]


async def answer_queries(sock: socket.socket, answers: Answers, failed: Callable[[Exception], None]) -> None:
    """Answer until the other side is gone, or has not read for `_TIMEOUT`; then the channel is closed.

    Args:
        sock: one end of the channel, non-blocking.
        answers: by question; each yields its rows in batches, and an empty batch to let other tasks run.
        failed: called with the error for a bug in an answer, or a single row that is too long and was left out.
    """
    try:
        while (heard := await _hear(sock)) is not None:
            question = heard.message
            if question is None:
                await _send(sock, UnknownQuestion(heard.request or 0, more=False, rows=()))
                continue
            try:
                for rows in answers[type(question)](question):
                    if rows:
                        await _send_rows(sock, question, rows, failed)
                    await trio.lowlevel.checkpoint()
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - it is logged, and the next question may succeed
                failed(error)
            await _send(sock, question.ANSWER(question.request, more=False, rows=()))
    except OSError:
        return  # the other side is gone
    finally:
        trio.lowlevel.notify_closing(sock)
        sock.close()


async def _hear(sock: socket.socket) -> Received[Question[Any]] | None:
    while True:
        try:
            return wire.receive(sock, Question)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
        except ValueError:
            return None


async def _send_rows(
    sock: socket.socket, question: Question[Any], rows: list[Any], failed: Callable[[Exception], None]
) -> None:
    try:
        await _send(sock, question.ANSWER(question.request, more=True, rows=tuple(rows)))
    except wire.TooLong as error:
        half = len(rows) // 2
        if not half:
            failed(error)
            return
        for part in (rows[:half], rows[half:]):
            await _send_rows(sock, question, part, failed)


# An admin process that hangs gets a new channel when it goes on (`Absent`). Without the timeout, an answer that waits
# would keep its tunnels' objects alive.
async def _send(sock: socket.socket, rows: Rows[Any]) -> None:
    with trio.move_on_after(_TIMEOUT):
        while True:
            try:
                wire.send(sock, rows)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)
            else:
                return
    raise TimeoutError("who has asked reads nothing")
