"""Asking all workers at once, each on a channel of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

import trio
from attrs import define, field, frozen

from splicer.ipc import wire
from splicer.ipc.hearing import hear_all
from splicer.ipc.queries import Question, Rows, TunnelRow, UnknownQuestion
from splicer.observe.log import Logger

_SETTLE_SECONDS = 1.0  # seconds after a worker's start or end in which its tunnels may be moving to another worker


R = TypeVar("R")


@frozen
class Answers(Generic[R]):
    """The workers' answers to a question.

    Args:
        rows: the rows of all workers; a tunnel has only one.
        missing: slots with a worker that did not answer completely in time.
    """

    rows: list[R]
    missing: list[int]


@define(eq=False)
class _Worker:
    slot: int
    pid: int
    sock: socket.socket
    version: int
    mover: str
    reading: trio.CancelScope = field(factory=trio.CancelScope)


@define(eq=False)
class _Asked:
    """A question that is being answered."""

    waiting: set[_Worker]
    missing: set[int] = field(factory=set)
    rows: list[Any] = field(factory=list)  # of the answers so far
    done: trio.Event = field(factory=trio.Event)

    def finish(self, worker: _Worker, *, whole: bool) -> None:
        """Note that a worker's answer has ended."""
        if worker in self.waiting:
            self.waiting.remove(worker)
            if not whole:
                self.missing.add(worker.slot)
            if not self.waiting:
                self.done.set()


class Workers:
    """All live workers; while one replaces another, both.

    Invariant: only the task that reads a channel closes it.

    Args:
        nursery: where channels are read.
        log: the logger, for answers that can't be parsed.
        expected: returns the served slots: one without a known worker is missing in every answer.
    """

    def __init__(self, nursery: trio.Nursery, log: Logger, expected: Callable[[], set[int]] = set) -> None:
        self._expected = expected
        self._nursery = nursery
        self._log = log
        self._workers: dict[int, _Worker] = {}  # by pid
        self._questions: dict[int, _Asked] = {}
        self._numbers = count(1)
        self._changed = trio.current_time()

    def add(self, slot: int, pid: int, sock: socket.socket, version: int = wire.VERSION, mover: str = "") -> None:
        """Add a worker, or a new channel to a known one.

        Args:
            slot: the worker's slot.
            pid: its process id.
            sock: the channel, non-blocking (`ipc.wire`); it is owned from now on.
            version: its version of the wire.
            mover: what moves its frames; "": unknown.
        """
        before = self._workers.get(pid)
        if before is not None:
            self._forget(before)
        worker = self._workers[pid] = _Worker(slot, pid, sock, version, mover)
        self._changed = trio.current_time()
        self._nursery.start_soon(self._listen, worker)

    @property
    def pids(self) -> Mapping[int, list[int]]:
        """The processes of each slot."""
        pids: dict[int, list[int]] = {}
        for worker in self._workers.values():
            pids.setdefault(worker.slot, []).append(worker.pid)
        return pids

    @property
    def movers(self) -> set[tuple[int, str]]:
        """What moves the frames of each slot, as far as it is known; while a slot has two workers, maybe two."""
        return {(worker.slot, worker.mover) for worker in self._workers.values() if worker.mover}

    def settled(self, wanted: int) -> bool:
        """Whether each slot has exactly one worker, for `_SETTLE_SECONDS`: then no tunnel is between two workers.

        Args:
            wanted: the number of slots.
        """
        if trio.current_time() < self._changed + _SETTLE_SECONDS:
            return False
        return len(self.pids) >= wanted and len(self._workers) == len(self.pids)

    async def ask(self, make: Callable[[int], Question[R]], seconds: float = 1.0) -> Answers[R]:
        """Ask all workers at once.

        Args:
            make: makes the question (`ipc.queries`), with its number.
            seconds: the time for the answers.
        """
        number = next(self._numbers)
        question = self._questions[number] = _Asked(set(self._workers.values()))
        try:
            for worker in list(question.waiting):
                try:
                    wire.send(worker.sock, make(number), version=worker.version)
                except OSError:  # the worker does not read, or is gone
                    question.finish(worker, whole=False)
            with trio.move_on_after(seconds):
                if question.waiting:
                    await question.done.wait()
        finally:
            del self._questions[number]
        missing = question.missing | {worker.slot for worker in question.waiting}
        missing |= self._expected() - self.pids.keys()
        return Answers(_without_duplicates(question.rows), sorted(missing))

    async def _listen(self, worker: _Worker) -> None:
        try:
            with worker.reading:
                await hear_all(worker.sock, Rows, partial(self._hear, worker))
        except ValueError as error:
            self._log.error("worker_unheard", slot=worker.slot, pid=worker.pid, error=repr(error)[:200])
        finally:
            self._forget(worker)
            worker.sock.close()

    def _hear(self, worker: _Worker, answer: Rows[Any]) -> None:
        question = self._questions.get(answer.request)
        if question is not None:  # else the answer is late
            question.rows += answer.rows
            if not answer.more:
                question.finish(worker, whole=not isinstance(answer, UnknownQuestion))

    def _forget(self, worker: _Worker) -> None:
        worker.reading.cancel()
        self._changed = trio.current_time()
        if self._workers.get(worker.pid) is worker:
            del self._workers[worker.pid]
        for question in self._questions.values():
            question.finish(worker, whole=False)


# A tunnel on its way from one worker to another may be listed by both.
def _without_duplicates(rows: list[R]) -> list[R]:
    seen: set[str] = set()
    kept = []
    for row in rows:
        if isinstance(row, TunnelRow):
            if row.id in seen:
                continue
            seen.add(row.id)
        kept.append(row)
    return kept
