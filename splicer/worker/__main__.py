"""`python -m splicer.worker`: a worker process. The supervisor starts it, and sends it commands when it is ready."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import trio
from setproctitle import setproctitle

from splicer.ipc import wire
from splicer.ipc.board import Board
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.observe.line_writer import LineWriter
from splicer.observe.metrics import Metrics, keep_in
from splicer.vault import protocol
from splicer.vault.limits import raise_descriptor_limit
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
    arguments = json.loads(sys.argv[1])
    metrics = _metrics(arguments)
    lines = LineWriter(sys.stdout.fileno(), lost=metrics.dropped)
    worker = _worker(arguments, lines, metrics)
    try:
        trio.run(worker.run)
    except BaseException as error:  # noqa: BLE001 - logged; raising it on would unwind tasks and close their calls
        worker.die(error)
    lines.close()
    os._exit(0)


# Without room for the metrics' files the worker counts in memory: no call may fail because of a metric.
def _metrics(arguments: dict[str, Any]) -> Metrics:
    directory = arguments.get("metrics")
    try:
        return Metrics(keep_in(None if directory is None else Path(directory), arguments["row"]))
    except OSError as error:
        print(f"splicer: this worker's metrics are not kept: {error}", file=sys.stderr)  # noqa: T201 - no log yet
        keep_in(None, arguments["row"])
        return Metrics()


def _worker(arguments: dict[str, Any], lines: LineWriter, metrics: Metrics) -> Worker:
    vault = arguments.get("vault")
    socket_of_vault = arguments.get("vault_path")
    return Worker(
        supervisor=SupervisorChannel(received(arguments["control"]), arguments.get("version", wire.VERSION)),
        board=Board(arguments["board"]),
        row=arguments["row"],
        vault=None if vault is None else received(vault),
        vault_version=arguments.get("vault_version", protocol.VERSION),
        vault_path=None if socket_of_vault is None else Path(socket_of_vault),
        path=Path(arguments["path"]),
        environ=os.environ,
        lines=lines,
        metrics=metrics,
    )


if __name__ == "__main__":
    main()
