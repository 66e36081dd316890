"""The channels from workers: what they report is given to who wants to hear of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import trio
from attrs import define, field

from splicer.ipc.endpoint_reports import EndpointReport
from splicer.ipc.hearing import hear_all
from splicer.observe.log import Logger

Hear = Callable[[int, Any], None]


@define(eq=False)
class _Worker:
    slot: int
    pid: int
    sock: socket.socket
    reading: trio.CancelScope = field(factory=trio.CancelScope)


class ReportChannels:
    """Reads the channels of all workers.

    Invariant: only the task that reads a channel closes it.

    Args:
        nursery: where channels are read.
        log: the logger.
    """

    def __init__(self, nursery: trio.Nursery, log: Logger) -> None:
        self._nursery = nursery
        self._log = log
        self._workers: dict[int, _Worker] = {}  # by pid
        self._hear: dict[type[EndpointReport[Any]], Hear] = {}
        self._gone: list[Callable[[int], None]] = []

    def on(self, kind: type[EndpointReport[Any]], hear: Hear) -> None:
        """Call `hear` with the pid of the worker and the rows of each report of a kind."""
        self._hear[kind] = hear

    def on_end(self, gone: Callable[[int], None]) -> None:
        """Call `gone` with the pid of each worker whose channel has ended."""
        self._gone.append(gone)

    @property
    def slots(self) -> set[int]:
        """The slots of the workers that are heard."""
        return {worker.slot for worker in self._workers.values()}

    def add(self, slot: int, pid: int, sock: socket.socket) -> None:
        """Hear a worker, or a known one on a new channel.

        Args:
            slot: its slot.
            pid: its process id.
            sock: the channel, non-blocking; it is owned from now on.
        """
        before = self._workers.get(pid)
        if before is not None:
            before.reading.cancel()
        worker = self._workers[pid] = _Worker(slot, pid, sock)
        self._nursery.start_soon(self._listen, worker)

    async def _listen(self, worker: _Worker) -> None:
        try:
            with worker.reading:
                await hear_all(worker.sock, EndpointReport, partial(self._take, worker.pid))
        except ValueError as error:
            self._log.error(
                "worker_unheard", process="discovery", slot=worker.slot, pid=worker.pid, error=repr(error)[:200]
            )
        finally:
            worker.sock.close()
            if self._workers.get(worker.pid) is worker:
                del self._workers[worker.pid]
                for gone in self._gone:
                    gone(worker.pid)

    def _take(self, pid: int, report: EndpointReport[Any]) -> None:
        if (hear := self._hear.get(type(report))) is not None:
            hear(pid, report.rows)
