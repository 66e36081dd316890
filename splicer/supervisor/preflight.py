"""The child process that tries an upgrade in advance, with the code that is on disk now.

    python -m splicer.supervisor.preflight FILE --text FD

FD holds the state of the supervisor that asks. The child prints one message: the facts of the file, or the faults.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from splicer.ipc import wire
from splicer.ipc.arguments import Place, WorkerArguments
from splicer.ipc.board import Board
from splicer.ipc.facts import ConfigSummary, Faults
from splicer.ipc.message import Message
from splicer.ipc.messages import Imported, Prepare, Prepared, Stop, WorkerReport
from splicer.supervisor.config_probe import understood
from splicer.supervisor.launch import INSPECT, WORKER, command, spawn
from splicer.supervisor.state import read
from splicer.tls.store import check
from splicer.vault.protocol import channel

# Those that a worker does not import, and the one that says why a worker could not have its mover.
_MODULES = (
    "splicer.relay.state",
    "splicer.supervisor.__main__",
    "splicer.admin.__main__",
    "splicer.discovery.__main__",
    "splicer.tls.__main__",
)
_WORKER_START_TIMEOUT = 30.0  # seconds for a worker to start


class Failed(Exception):
    """The new code can't take over; the message says why."""


def preflight(path: Path, state: str) -> ConfigSummary | Faults:
    """The facts of the file that the supervisor needs, or the faults."""
    try:
        for module in _MODULES:
            import_module(module)
        before = read(state)
    except Exception as error:  # noqa: BLE001 - new code may fail in any way; the fault is reported
        return Faults((f"{path}: the new code can't take over: {error!r}",))
    found = _inspect(path)
    if isinstance(found, ConfigSummary):
        faults = [] if before.tls_in_vault else check(found.tls)[0]  # the files may be the vault's alone
        if faults:
            return Faults(tuple(f"{path}: {fault}" for fault in faults))
        try:
            _begin_worker(path, found.text)
        except (Failed, OSError, ValueError) as error:
            return Faults((f"{path}: a worker of the new code doesn't begin: {error}",))
    return found


def _inspect(path: Path) -> ConfigSummary | Faults:
    child = subprocess.run(  # noqa: S603 - our own interpreter, no shell
        command(INSPECT, str(path)), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False
    )
    return understood(child.stdout, path)


# The worker gets neither a slot nor listeners; everything else is as after the upgrade.
def _begin_worker(path: Path, text: str) -> None:
    ours, its = channel()
    board = Board()
    arguments = WorkerArguments(Place(its.fileno(), board.fd, row=1, version=wire.VERSION), str(path))
    pid = spawn(WORKER, arguments, [its.fileno(), board.fd])
    its.close()
    try:
        _await(ours, Imported)
        config = wire.text_file(text)
        wire.send(ours, Prepare(request=1), (config,))
        _await(ours, Prepared)
        wire.send(ours, Stop())
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        ours.close()
        board.close()
        status = os.waitpid(pid, 0)[1]
    if status:
        raise Failed(f"it ended with {os.waitstatus_to_exitcode(status)}")


def _await(sock: socket.socket, report: type[Message]) -> None:
    if not select.select([sock], [], [], _WORKER_START_TIMEOUT)[0]:
        raise Failed(f"it has not {report.KIND} anything for {_WORKER_START_TIMEOUT:g} s")
    heard = wire.receive(sock, WorkerReport)
    if heard is None:
        raise Failed("it has ended")
    if not isinstance(heard.message, report):
        raise Failed(f"it says {heard.message!r}")


def main() -> None:
    """Print the result."""
    path, _, fd = sys.argv[1:]
    wire.answer(preflight(Path(path), wire.read_text(int(fd))))


if __name__ == "__main__":
    main()
