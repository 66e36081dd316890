"""The workers: one for each slot, and a spare that takes a dead one's place.

A slot is a place to work, not a process: whoever serves it gets the tunnels that the vault holds for it.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from splicer.control import wire
from splicer.control.board import ROWS, Board
from splicer.supervisor import launch
from splicer.supervisor.processes import Process, State, reason
from splicer.supervisor.say import Say
from splicer.vault.protocol import channel

_STUCK = 10  # seconds without a turn of its event loop after which a worker is killed
_START = 60  # seconds that a process may take to begin
_FIRST_PAUSE = 0.1  # seconds before another process is started after one that never served
_LONGEST_PAUSE = 30.0
_LONGEST_PAUSE_WITH_CALLS = 2.0  # while tunnels wait
_COMING = (State.STARTING, State.IMPORTED, State.READY)


class Crew:
    """Keeps the slots filled.

    Args:
        selector: where channels are watched.
        board: where the processes show their numbers.
        say: the log.
        equip: what a new worker needs of the vault: arguments, and the descriptors to pass.
        config: a file with the text in force, or None while there is none; the crew closes it.
        orders: what a worker is told when it gets a slot: fields, and the descriptors to pass.
        waiting: whether tunnels wait for a worker.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        board: Board,
        say: Say,
        equip: Callable[[], tuple[dict[str, Any], list[int]]],
        config: Callable[[], int | None],
        orders: Callable[[], tuple[dict[str, Any], tuple[int, ...]]],
        waiting: Callable[[], bool],
    ) -> None:
        self._selector = selector
        self._board = board
        self._say = say
        self._equip = equip
        self._config = config
        self._orders = orders
        self._waiting = waiting
        self.slots = 0  # how many workers there should be; 0: not known yet
        self.spares = 1
        self.all: dict[int, Process] = {}
        self.serving: dict[int, Process] = {}
        self.failures = 0  # processes in a row that never served
        self.restarts = 0
        self._again = 0.0  # when the next process may be started

    @property
    def complete(self) -> bool:
        """Whether every slot is being served."""
        return self.slots > 0 and all(
            slot in self.serving and self.serving[slot].state is State.SERVING for slot in range(1, self.slots + 1)
        )

    def fill(self) -> None:
        """Give vacant slots to those who are ready, and start as many as are missing."""
        for worker in self.all.values():
            if worker.state is State.IMPORTED and not worker.owed:
                self._prepare(worker)
        vacant = [slot for slot in range(1, self.slots + 1) if slot not in self.serving]
        ready = [worker for worker in self.all.values() if worker.state is State.READY]
        for slot, worker in zip(vacant, ready, strict=False):
            self.place(worker, slot)
        coming = sum(worker.state in _COMING for worker in self.all.values())
        missing = max(0, len(vacant) - len(ready)) + self.spares - coming
        if missing > 0 and (not self.failures or time.monotonic() >= self._pause()):
            for _ in range(missing):
                self._start()

    def _prepare(self, worker: Process) -> None:
        config = self._config()
        if config is not None:
            worker.owed.add("prepared")
            worker.say("prepare", (config,))
            os.close(config)

    def place(self, worker: Process, slot: int) -> None:
        """Give a slot to a worker that is ready."""
        fields, fds = self._orders()
        worker.slot, worker.state = slot, State.PLACED
        self.serving[slot] = worker
        worker.say("serve", fds, slot=slot, slots=self.slots, **fields)

    def replace(self, slot: int) -> bool:
        """Let a spare take a slot over from a living worker; False if none is ready."""
        spare = next((worker for worker in self.all.values() if worker.state is State.READY), None)
        if spare is None:
            return False
        old = self.serving.pop(slot, None)
        self.place(spare, slot)
        if old is not None:
            self._retire(old)
        self.fill()
        return True

    def retire_surplus(self) -> None:
        """Let those go whose slots there are no longer."""
        for slot in [slot for slot in self.serving if slot > self.slots]:
            self._retire(self.serving.pop(slot))

    def leave(self, seconds: float) -> None:
        """Let all go, and nobody takes their places here; exchanges under way have so long."""
        for slot in list(self.serving):
            self._retire(self.serving.pop(slot), seconds=seconds, linger=0)

    def _retire(self, worker: Process, **how: float) -> None:
        worker.state = State.LEAVING
        worker.say("retire", (), **how)

    def tell(self, word: str, answer: str | None = None, fds: tuple[int, ...] = (), **more: Any) -> None:
        """Tell all workers that know the configuration."""
        for worker in self.all.values():
            if worker.state not in (State.STARTING, State.IMPORTED):
                if answer is not None and worker.state is not State.GONE:
                    worker.owed.add(answer)
                worker.say(word, fds, **more)

    def owes(self, answer: str) -> bool:
        """Whether anybody has not given this answer yet."""
        return any(answer in worker.owed for worker in self.all.values())

    def dismiss(self, *states: State) -> None:
        """Stop those in these states."""
        for worker in self.all.values():
            if worker.state in states:
                worker.state = State.GONE
                worker.say("stop")

    def died(self, pid: int, status: int) -> bool:
        """A child has ended; whether it was one of these."""
        worker = self.all.pop(pid, None)
        if worker is None:
            return False
        with suppress(KeyError):
            self._selector.unregister(worker.sock)
        worker.sock.close()
        why = "stuck" if worker.missed > _STUCK else reason(status)
        tunnels = self._board.row(worker.row)[1]
        self._board.clear(worker.row)
        served = self.serving.get(worker.slot) is worker
        if served:
            del self.serving[worker.slot]
        if worker.state in (State.STARTING, State.IMPORTED, State.PLACED):
            self.failures += 1
            self._again = time.monotonic()
        if worker.state not in (State.LEAVING, State.GONE) or status:
            self.restarts += 1
            fields = {"slot": worker.slot, "pid": pid, "reason": why, "tunnels": tunnels, "failures": self.failures}
            self._say("worker_died", level="error", state=str(worker.state), **fields)
        return True

    def tick(self) -> None:
        """Once a second: find those whose loop is stuck."""
        for worker in self.all.values():
            beat = self._board.row(worker.row)[0]
            worker.missed = 0 if beat != worker.beat else worker.missed + 1
            worker.beat = beat
            if worker.missed > (_START if worker.state is State.STARTING else _STUCK):
                worker.kill()

    def adopt(self, worker: Process) -> None:
        """Take over a process that an earlier supervisor has started."""
        self.all[worker.pid] = worker
        self._selector.register(worker.sock, selectors.EVENT_READ, partial(self._hear, worker))
        if worker.slot and worker.state in (State.PLACED, State.SERVING):
            self.serving[worker.slot] = worker

    def _pause(self) -> float:
        longest = _LONGEST_PAUSE_WITH_CALLS if self._waiting() or self.serving else _LONGEST_PAUSE
        return self._again + min(longest, _FIRST_PAUSE * 2.0 ** min(self.failures - 1, 16))

    def _start(self) -> None:
        taken = {worker.row for worker in self.all.values()}
        row = next(number for number in range(1, ROWS) if number not in taken)
        ours, its = channel()
        arguments, fds = self._equip()
        arguments |= {"control": its.fileno(), "board": self._board.fd, "row": row}
        try:
            pid = launch.spawn("splicer.run", arguments, [its.fileno(), self._board.fd, *fds])
        except OSError as error:
            ours.close()
            self.failures += 1
            self._again = time.monotonic()
            self._say("worker_not_started", level="error", error=error.strerror, failures=self.failures)
            return
        finally:
            its.close()
            for fd in fds:
                os.close(fd)
        self.adopt(Process(pid, row, ours))

    def _hear(self, worker: Process, _: int) -> None:
        try:
            while (heard := wire.hear(worker.sock)) is not None:
                self._heed(worker, heard[0])
        except BlockingIOError:
            return
        except (ValueError, OSError) as error:
            self._say("worker_unheard", level="error", pid=worker.pid, error=str(error))
        self._selector.unregister(worker.sock)  # it says no more: it is dead, or about to be

    def _heed(self, worker: Process, words: dict[str, Any]) -> None:
        word = words.get("is")
        if word == "imported" and worker.state is State.STARTING:
            worker.state = State.IMPORTED
        elif word == "prepared" and worker.state is State.IMPORTED:
            worker.state = State.READY
        elif word == "serving" and worker.state is State.PLACED:
            worker.state = State.SERVING
            self.failures = 0
            self._say("worker_serving", slot=worker.slot, pid=worker.pid)
        elif word == "handed_over" and worker.state is State.LEAVING:
            worker.state = State.GONE
        worker.owed.discard(str(word))
        self.fill()
