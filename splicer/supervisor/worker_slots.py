"""The workers: one for each slot, and a spare that takes a dead one's place.

A slot is a place to work, not a process: whoever serves it gets the tunnels that the vault holds for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from splicer.ipc import wire
from splicer.ipc.board import Column
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.process_table import Backoff, ProcessOwner, ProcessTable
from splicer.supervisor.processes import Process, State
from splicer.vault.protocol import channel

_MAX_START_INTERVAL = 30.0  # seconds between two attempts to start a worker
_MAX_START_INTERVAL_WITH_CALLS = 2.0  # while tunnels wait, or slots are served
_NOT_YET_PLACED = (State.STARTING, State.IMPORTED, State.READY)


class WorkerSlots(ProcessOwner):
    """Keeps the slots filled.

    Args:
        fleet: starts the processes.
        say: the log.
        equip: what a new worker needs of the vault: arguments, and the descriptors to pass.
        config: a file with the text in force, or None while there is none; it is closed here.
        orders: what a worker is told when it gets a slot: fields, and the descriptors to pass.
        waiting: whether tunnels wait for a worker.
        orphaned: slots whose tunnels have none, that with most of them first.
        placed: is told of each worker that got a slot.
        died: is told when one that had a slot has died.
    """

    def __init__(
        self,
        process_table: ProcessTable,
        log: PlainLog,
        vault_connection: Callable[[], tuple[dict[str, Any], list[int]]],
        config: Callable[[], int | None],
        orders: Callable[[], tuple[dict[str, Any], tuple[int, ...]]],
        waiting: Callable[[], bool],
        orphaned: Callable[[], Sequence[int]],
        placed: Callable[[Process], None],
        died: Callable[[], None],
    ) -> None:
        self._process_table = process_table
        self._log = log
        self._vault_connection = vault_connection
        self._config = config
        self._orders = orders
        self._waiting = waiting
        self._orphaned = orphaned
        self._placed = placed
        self._died = died
        self.restarts = 0  # workers that died with a slot
        self.slots = 0  # how many workers there should be; 0: not known yet
        self.spares = 1
        self.all: dict[int, Process] = {}
        self.serving: dict[int, Process] = {}
        self.backoff = Backoff()

    @property
    def complete(self) -> bool:
        """Whether every slot is being served."""
        return self.slots > 0 and all(
            slot in self.serving and self.serving[slot].state is State.SERVING for slot in range(1, self.slots + 1)
        )

    def reconcile(self) -> None:
        """Give vacant slots to those who are ready, and start as many as are missing."""
        for worker in self.all.values():
            if worker.state is State.IMPORTED and not worker.owed:
                self._prepare(worker)
        vacant = [slot for slot in range(1, self.slots + 1) if slot not in self.serving]
        ready = [worker for worker in self.all.values() if worker.state is State.READY]
        if vacant and ready:
            order = {slot: place for place, slot in enumerate(self._orphaned())}
            vacant.sort(key=lambda slot: order.get(slot, len(order)))
        for slot, worker in zip(vacant, ready, strict=False):
            self._place(worker, slot)
        coming = sum(worker.state in _NOT_YET_PLACED for worker in self.all.values())
        missing = max(0, len(vacant) - len(ready)) + self.spares - coming
        longest = _MAX_START_INTERVAL_WITH_CALLS if self.serving or self._waiting() else _MAX_START_INTERVAL
        if missing > 0 and self.backoff.is_over(longest):
            for _ in range(missing):
                self._start()

    def replace(self, slot: int) -> bool:
        """Let a spare take a slot over from a living worker; False if none is ready."""
        spare = next((worker for worker in self.all.values() if worker.state is State.READY), None)
        if spare is None:
            return False
        old = self.serving.pop(slot, None)
        self._place(spare, slot)
        if old is not None:
            self._retire(old, spare)
        self.reconcile()
        return True

    def retire_surplus(self) -> None:
        """Let those go whose slots there are no longer."""
        for slot in [slot for slot in self.serving if slot > self.slots]:
            self._retire(self.serving.pop(slot), next(iter(self.serving.values()), None))

    def leave(self, seconds: float) -> None:
        """Let all go, and nobody takes their places here; exchanges under way have so long."""
        for slot in list(self.serving):
            self._retire(self.serving.pop(slot), None, seconds=seconds, linger=0)

    def tell(self, word: str, answer: str | None = None, fds: tuple[int, ...] = (), **more: Any) -> None:
        """Tell all workers that know the configuration, or are about to; `answer` is the word that they owe."""
        for worker in self.all.values():
            if worker.state is not State.STARTING and (worker.state is not State.IMPORTED or worker.owed):
                if answer is not None and worker.state is not State.GONE:
                    worker.owe(answer)
                worker.send(word, fds, **more)

    def owes(self, answer: str) -> bool:
        """Whether anybody has not given this answer yet."""
        return any(answer in worker.owed for worker in self.all.values())

    def dismiss(self, *states: State) -> None:
        """Stop those in these states."""
        for worker in self.all.values():
            if worker.state in states:
                worker.state = State.GONE
                worker.send("stop")

    def adopt(self, worker: Process) -> None:
        """Take over a worker that an earlier supervisor has started."""
        self._process_table.adopt(self, worker)
        self.all[worker.pid] = worker
        if worker.slot and worker.state in (State.PLACED, State.SERVING):
            self.serving[worker.slot] = worker

    def on_message(self, process: Process, words: dict[str, Any]) -> None:
        """See `ProcessOwner`."""
        match words.get("is"), process.state:
            case "imported", State.STARTING:
                process.state = State.IMPORTED
            case "prepared", State.IMPORTED:
                process.state = State.READY
            case "serving", State.PLACED:
                process.state = State.SERVING
                self.backoff.reset()
                self._log("worker_serving", slot=process.slot, pid=process.pid)
            case "handed_over", State.LEAVING:
                process.state = State.GONE
        self.reconcile()

    def on_exit(self, process: Process, why: str, *, failed: bool) -> None:
        """See `ProcessOwner`. Only a death before it served delays the next one."""
        del self.all[process.pid]
        if self.serving.get(process.slot) is process:
            del self.serving[process.slot]
        if process.state in (State.STARTING, State.IMPORTED, State.PLACED):
            self.backoff.failed()
        if failed:
            self.restarts += bool(process.slot)
            self._log(
                "worker_died",
                level="error",
                slot=process.slot or None,
                pid=process.pid,
                state=process.state.value,
                reason=why,
                tunnels=self._process_table.board.row(process.row)[Column.TUNNELS],
            )
            self._died()

    def _start(self) -> None:
        try:
            worker = self._process_table.start(self, "splicer.worker", *self._vault_connection())
        except OSError as error:
            self._log("process_not_started", level="error", module="splicer.worker", error=error.strerror)
            worker = None
        if worker is None:
            self.backoff.failed()
        else:
            self.all[worker.pid] = worker

    def _prepare(self, worker: Process) -> None:
        config = self._config()
        if config is not None:
            worker.owe("prepared")
            worker.send("prepare", (config,), **self._orders()[0])
            os.close(config)

    def _place(self, worker: Process, slot: int) -> None:
        fields, fds = self._orders()
        worker.slot, worker.state = slot, State.PLACED
        self.serving[slot] = worker
        worker.owe("serving")
        worker.send("serve", fds, slot=slot, slots=self.slots, **fields)
        self._placed(worker)

    # The heir gets the client connections that idle. Neither end of the channel stays here: if one of the two can't be
    # told, or dies, the other finds nobody.
    def _retire(self, worker: Process, heir: Process | None, **how: float) -> None:
        worker.state = State.LEAVING
        if heir is not None:
            with suppress(OSError):
                ours, its = channel()
                with ours, its:
                    wire.send(heir.sock, {"do": "inherit"}, (its.fileno(),), heir.version)
                    worker.send("retire", (ours.fileno(),), speaks=heir.version, **how)
                    return
        worker.send("retire", (), **how)
