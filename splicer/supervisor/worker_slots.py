"""The workers: one for each slot, and a spare that replaces a dead one.

A slot is a number, not a process: the worker that serves it gets the tunnels that the vault holds for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from splicer.ipc import wire
from splicer.ipc.arguments import Place, WorkerArguments
from splicer.ipc.board import Column
from splicer.ipc.facts import OperatorDrains
from splicer.ipc.message import Message
from splicer.ipc.messages import (
    HandedOver,
    Imported,
    Inherit,
    Prepare,
    Prepared,
    Retire,
    Serve,
    Serving,
    Stop,
    WorkerOrder,
    WorkerReport,
)
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.launch import WORKER
from splicer.supervisor.listeners import Listeners, counts_of, fds_of
from splicer.supervisor.process_table import Backoff, ProcessOwner, ProcessTable
from splicer.supervisor.processes import Process, State
from splicer.vault.protocol import channel

_MAX_START_INTERVAL = 30.0  # seconds, at most, between two attempts to start a worker
_MAX_START_INTERVAL_WITH_CALLS = 2.0  # seconds; the same while tunnels wait, or slots are served
_NOT_YET_PLACED = (State.STARTING, State.IMPORTED, State.READY)


class WorkerSlots(ProcessOwner):
    """Keeps the slots filled.

    Args:
        process_table: starts the processes.
        log: the log.
        arguments: returns a function that makes a new worker's arguments, and the descriptors to pass.
        config: returns a file with the text in force, or None while there is none; it is closed here.
        drains: returns the operators' drains.
        draining: whether a signal has begun a drain.
        listeners: the sockets on which workers accept, by name.
        waiting: whether tunnels wait for a worker.
        orphaned: returns the slots whose tunnels have no worker; the slot with most of them comes first.
        placed: called with each worker that got a slot.
        died: called when a worker with a slot has died.
    """

    REPORTS = WorkerReport

    def __init__(
        self,
        process_table: ProcessTable,
        log: PlainLog,
        arguments: Callable[[], tuple[Callable[[Place], WorkerArguments], list[int]]],
        config: Callable[[], int | None],
        drains: Callable[[], OperatorDrains],
        draining: Callable[[], bool],
        listeners: Mapping[str, Listeners],
        waiting: Callable[[], bool],
        orphaned: Callable[[], Sequence[int]],
        placed: Callable[[Process], None],
        died: Callable[[], None],
    ) -> None:
        self._process_table = process_table
        self._log = log
        self._arguments = arguments
        self._config = config
        self._drains = drains
        self._draining = draining
        self._listeners = listeners
        self._waiting = waiting
        self._orphaned = orphaned
        self._placed = placed
        self._died = died
        self.restarts = 0  # workers that died with a slot
        self.slots = 0  # the number of workers that should serve; 0: not known yet
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

    @property
    def missing(self) -> int:
        """How many are to be started."""
        coming = sum(worker.state in _NOT_YET_PLACED for worker in self.all.values())
        return len(self._vacant) + self.spares - coming

    @property
    def movers(self) -> str:
        """What moves frames, "native" or "python"; both if the workers differ."""
        return ", ".join(sorted({worker.mover for worker in self.serving.values()} - {""}))

    def reconcile(self) -> None:
        """Give vacant slots to spares, and start missing workers."""
        self._assign()
        missing = self.missing
        longest = _MAX_START_INTERVAL_WITH_CALLS if self.serving or self._waiting() else _MAX_START_INTERVAL
        if missing > 0 and self.backoff.is_over(longest):
            for _ in range(missing):
                self._start()

    @property
    def _vacant(self) -> list[int]:
        return [slot for slot in range(1, self.slots + 1) if slot not in self.serving]

    def _assign(self) -> None:
        for worker in self.all.values():
            if worker.state is State.IMPORTED and not worker.owed:
                self._prepare(worker)
        vacant = self._vacant
        ready = [worker for worker in self.all.values() if worker.state is State.READY]
        if vacant and ready:
            order = {slot: place for place, slot in enumerate(self._orphaned())}
            vacant.sort(key=lambda slot: order.get(slot, len(order)))
        for slot, worker in zip(vacant, ready, strict=False):
            self._place(worker, slot)

    def replace(self, slot: int) -> bool:
        """Let a spare take over the slot of a live worker; False if no spare is ready."""
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
        """Retire the workers whose slots no longer exist."""
        for slot in [slot for slot in self.serving if slot > self.slots]:
            self._retire(self.serving.pop(slot), next(iter(self.serving.values()), None))

    def leave(self, seconds: float) -> None:
        """Retire all workers without replacing them; exchanges in flight have `seconds`."""
        for slot in list(self.serving):
            self._retire(self.serving.pop(slot), None, seconds=seconds, linger=0)

    def tell(self, order: WorkerOrder, fds: tuple[int, ...] = ()) -> None:
        """Send a message to all workers that have the configuration, or are getting it."""
        for worker in self.all.values():
            if worker.state is not State.STARTING and (worker.state is not State.IMPORTED or worker.owed):
                worker.send(order, fds)

    def request(self, order: Callable[[int], WorkerOrder], fds: tuple[int, ...] = ()) -> int:
        """Send a request to the same workers, each of which must answer.

        Args:
            order: makes the message, with the request's number.
            fds: descriptors to send with it.

        Returns:
            The number of the request, for `awaits`.
        """
        number = self._process_table.next_request()
        self.tell(order(number), fds)
        return number

    def awaits(self, request: int) -> bool:
        """Whether a live worker has not answered this request yet."""
        return any(request in worker.owed for worker in self.all.values())

    def dismiss(self, *states: State) -> None:
        """Stop the workers in these states."""
        for worker in self.all.values():
            if worker.state in states:
                worker.state = State.GONE
                worker.send(Stop())

    def adopt(self, worker: Process) -> None:
        """Take over a worker that an earlier supervisor has started."""
        self._process_table.adopt(self, worker)
        self.all[worker.pid] = worker
        if worker.slot and worker.state in (State.PLACED, State.SERVING):
            self.serving[worker.slot] = worker

    def on_message(self, process: Process, report: Message) -> None:
        """See `ProcessOwner`."""
        match report, process.state:
            case Imported(mover), State.STARTING:
                process.state, process.mover = State.IMPORTED, mover
            case Prepared(), State.IMPORTED:
                process.state = State.READY
            case Serving(), State.PLACED:
                process.state = State.SERVING
                self.backoff.reset()
                self._log("worker_serving", slot=process.slot, pid=process.pid)
            case HandedOver(), State.LEAVING:
                process.state = State.GONE
        self._assign()  # a process that is missing is started in the loop, which may wait for the template

    def on_exit(self, process: Process, why: str, *, failed: bool) -> None:
        """See `ProcessOwner`. Only the death of a worker that never served delays the next start."""
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
            worker = self._process_table.start(self, WORKER, *self._arguments())
        except OSError as error:
            self._log("process_not_started", level="error", module=WORKER, error=error.strerror)
            worker = None
        if worker is None:
            self.backoff.failed()
        else:
            self.all[worker.pid] = worker

    def _prepare(self, worker: Process) -> None:
        config = self._config()
        if config is not None:
            worker.send(Prepare(self._process_table.next_request(), self._drains()), (config,))
            os.close(config)

    def _place(self, worker: Process, slot: int) -> None:
        worker.slot, worker.state = slot, State.PLACED
        self.serving[slot] = worker
        request, counts = self._process_table.next_request(), counts_of(self._listeners)
        rules = self._listeners["listen"].rules_in_order
        worker.send(Serve(request, slot, self.slots, self._draining(), counts, rules), fds_of(self._listeners))
        self._placed(worker)

    # The heir gets the idle client connections. The supervisor keeps neither end of the channel: if one of the two
    # doesn't get its end, or dies, the other notices it.
    def _retire(
        self, worker: Process, heir: Process | None, *, seconds: float | None = None, linger: float | None = None
    ) -> None:
        worker.state = State.LEAVING
        if heir is not None:
            with suppress(OSError):
                ours, its = channel()
                with ours, its:
                    wire.send(heir.sock, Inherit(), (its.fileno(),), heir.version)
                    worker.send(Retire(seconds, linger, heir.version), (ours.fileno(),))
                    return
        worker.send(Retire(seconds, linger))
