"""The workers, as the admin process asks them: each on a channel of its own, all at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Generic, TypeVar

import trio
from attrs import define, field, frozen

from splicer.ipc import wire
from splicer.ipc.queries import Question, Rows, TunnelRow, UnknownQuestion
from splicer.observe.log import Logger

_SETTLE_SECONDS = 1.0  # seconds after a worker came or went in which its tunnels may be on their way to another


R = TypeVar("R")


@frozen
class Answers(Generic[R]):
    """What the workers said.

    Args:
        rows: of all of them; of a tunnel, one.
        missing: slots of which a worker did not say everything in time.
    """

    rows: list[R]
    missing: list[int]


@define(eq=False)
class _Worker:
    slot: int
    pid: int
    sock: socket.socket
    version: int
    reading: trio.CancelScope = field(factory=trio.CancelScope)


@define(eq=False)
class _Asked:
    """A question that is being answered."""

    waiting: set[_Worker]
    missing: set[int] = field(factory=set)
    rows: list[Any] = field(factory=list)  # of the question's answer
    done: trio.Event = field(factory=trio.Event)

    def finish(self, worker: _Worker, *, whole: bool) -> None:
        """Nothing more comes from a worker."""
        if worker in self.waiting:
            self.waiting.remove(worker)
            if not whole:
                self.missing.add(worker.slot)
            if not self.waiting:
                self.done.set()


class Workers:
    """All that are alive: while one takes another's place, both.

    A channel is closed by the task that reads it, and by nothing else.

    Args:
        nursery: where channels are read.
        log: is told of a worker that can't be understood.
        expected: slots that somebody serves: who is not known here is missing in every answer.
    """

    def __init__(self, nursery: trio.Nursery, log: Logger, expected: Callable[[], set[int]] = set) -> None:
        self._expected = expected
        self._nursery = nursery
        self._log = log
        self._workers: dict[int, _Worker] = {}  # by pid
        self._questions: dict[int, _Asked] = {}
        self._numbers = count(1)
        self._changed = trio.current_time()

    def add(self, slot: int, pid: int, sock: socket.socket, version: int = wire.VERSION) -> None:
        """Ask this one, too; a process that is known already has a new channel.

        Args:
            slot: that it serves.
            pid: of the process.
            sock: the channel, non-blocking (`ipc.wire`). It is owned from now on.
            version: that it speaks.
        """
        before = self._workers.get(pid)
        if before is not None:
            self._forget(before)
        worker = self._workers[pid] = _Worker(slot, pid, sock, version)
        self._changed = trio.current_time()
        self._nursery.start_soon(self._listen, worker)

    @property
    def pids(self) -> Mapping[int, list[int]]:
        """The processes of each slot."""
        pids: dict[int, list[int]] = {}
        for worker in self._workers.values():
            pids.setdefault(worker.slot, []).append(worker.pid)
        return pids

    def settled(self, wanted: int) -> bool:
        """Whether each slot has its one worker, and has had it for a moment: no tunnel is between two of them.

        Args:
            wanted: how many slots there should be.
        """
        if trio.current_time() < self._changed + _SETTLE_SECONDS:
            return False
        return len(self.pids) >= wanted and len(self._workers) == len(self.pids)

    async def ask(self, make: Callable[[int], Question[R]], seconds: float = 1.0) -> Answers[R]:
        """Ask all workers at once.

        Args:
            make: makes the question (`ipc.queries`), with its number.
            seconds: that they may take.
        """
        number = next(self._numbers)
        question = self._questions[number] = _Asked(set(self._workers.values()))
        try:
            for worker in list(question.waiting):
                try:
                    wire.send(worker.sock, make(number), version=worker.version)
                except OSError:  # it reads no more, or is gone
                    question.finish(worker, whole=False)
            with trio.move_on_after(seconds):
                if question.waiting:
                    await question.done.wait()
        finally:
            del self._questions[number]
        missing = question.missing | {worker.slot for worker in question.waiting}
        missing |= self._expected() - self.pids.keys()
        return Answers(_without_twins(question.rows), sorted(missing))

    async def _listen(self, worker: _Worker) -> None:
        try:
            with worker.reading:
                while await self._hear(worker):
                    await trio.lowlevel.checkpoint()
        except OSError:
            pass  # it is gone
        except ValueError as error:
            self._log.error("worker_unheard", slot=worker.slot, pid=worker.pid, error=repr(error)[:200])
        finally:
            self._forget(worker)
            worker.sock.close()

    async def _hear(self, worker: _Worker) -> bool:
        try:
            heard = wire.receive(worker.sock, Rows)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(worker.sock)
            return True
        if heard is None:
            return False
        for fd in heard.fds:
            os.close(fd)
        answer = heard.message
        question = None if answer is None else self._questions.get(answer.request)
        if answer is not None and question is not None:  # else it is late
            question.rows += answer.rows
            if not answer.more:
                question.finish(worker, whole=not isinstance(answer, UnknownQuestion))
        return True

    def _forget(self, worker: _Worker) -> None:
        worker.reading.cancel()
        self._changed = trio.current_time()
        if self._workers.get(worker.pid) is worker:
            del self._workers[worker.pid]
        for question in self._questions.values():
            question.finish(worker, whole=False)


# A tunnel on its way from one worker to another may be listed by both.
def _without_twins(rows: list[R]) -> list[R]:
    twins: set[str] = set()
    kept = []
    for row in rows:
        if isinstance(row, TunnelRow):
            if row.id in twins:
                continue
            twins.add(row.id)
        kept.append(row)
    return kept
