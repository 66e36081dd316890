"""`python -m splicer.worker`: a worker process. The supervisor starts it, and sends it commands when it is ready."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import trio
from setproctitle import setproctitle

from splicer.ipc.arguments import WorkerArguments
from splicer.ipc.board import Board
from splicer.ipc.codec import from_json
from splicer.ipc.messages import WorkerOrder
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.observe.families import keep_in
from splicer.observe.line_writer import LineWriter
from splicer.observe.metrics import Metrics
from splicer.vault.limits import raise_descriptor_limit
from splicer.worker.clock import MonotonicClock
from splicer.worker.worker import Worker

_SWITCH_SECONDS = 0.0005  # seconds after which another thread (a reload, the log) must give up the GIL
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)  # only the supervisor handles these


def main() -> None:
    """Work until the supervisor sends "stop", or until it is gone and all calls are over."""
    for signum in _IGNORED:
        signal.signal(signum, signal.SIG_IGN)
    sys.setswitchinterval(_SWITCH_SECONDS)
    setproctitle("splicer: spare")
    raise_descriptor_limit()
    arguments = from_json(WorkerArguments, sys.argv[1])
    metrics = _metrics(arguments)
    lines = LineWriter(sys.stdout.fileno(), lost=metrics.dropped)
    worker = _worker(arguments, lines, metrics)
    try:
        trio.run(worker.run, clock=MonotonicClock())
    except BaseException as error:  # noqa: BLE001 - logged; raising it on would unwind tasks and close their calls
        worker.die(error)
    lines.close()
    os._exit(0)


# Without room for the metrics' files the worker counts in memory: no call may fail because of a metric.
def _metrics(arguments: WorkerArguments) -> Metrics:
    directory = arguments.metrics
    try:
        return Metrics(keep_in(None if directory is None else Path(directory), arguments.place.row))
    except OSError as error:
        print(f"splicer: this worker's metrics are not kept: {error}", file=sys.stderr)  # noqa: T201 - no log yet
        keep_in(None, arguments.place.row)
        return Metrics()


def _worker(arguments: WorkerArguments, lines: LineWriter, metrics: Metrics) -> Worker:
    place, vault = arguments.place, arguments.vault
    return Worker(
        supervisor=SupervisorChannel(received(place.control), WorkerOrder, place.version),
        board=Board(place.board, place.routes, place.loads, place.endpoints, place.tls, place.connects),
        row=place.row,
        vault=None if vault.fd is None else received(vault.fd),
        vault_version=vault.version,
        vault_path=None if vault.path is None else Path(vault.path),
        path=Path(arguments.path),
        environ=os.environ,
        lines=lines,
        metrics=metrics,
    )


if __name__ == "__main__":
    main()
