"""The child that goes through an upgrade before it is done, with the code that is on disk now.

    python -m splicer.supervisor.preflight FILE --text FD

FD holds the state of the supervisor that asks. It prints one JSON object: what the file says, or the faults.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from splicer.ipc import wire
from splicer.ipc.board import Board
from splicer.supervisor.launch import command, spawn
from splicer.supervisor.state import read
from splicer.vault.protocol import channel

_MODULES = ("splicer.supervisor.__main__", "splicer.admin.__main__")  # all that a worker doesn't show to be sound
_WORKER_START_TIMEOUT = 30.0  # seconds for a worker to begin


class Failed(Exception):
    """The new code can't go on; the message says why."""


def preflight(path: Path, state: str) -> dict[str, Any]:
    """What the supervisor needs to know of the file, or `{"faults": […]}`."""
    try:
        for module in _MODULES:
            import_module(module)
        read(json.loads(state))
    except Exception as error:  # noqa: BLE001 - new code may fail in any way; it is told of
        return {"faults": [f"{path}: the new code can't take over: {error!r}"]}
    facts = _inspect(path)
    if "faults" not in facts:
        try:
            _begin_worker(path, facts["text"])
        except (Failed, OSError, ValueError) as error:
            return {"faults": [f"{path}: a worker of the new code doesn't begin: {error}"]}
    return facts


def _inspect(path: Path) -> dict[str, Any]:
    child = subprocess.run(  # noqa: S603 - our own interpreter, no shell
        command("splicer.configfile.inspect", str(path)), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False
    )
    try:
        facts: dict[str, Any] = json.loads(child.stdout)
    except ValueError:
        return {"faults": [f"{path}: the process that reads it has failed"]}
    return facts


# It gets neither a slot nor a listener: all else is as it will be.
def _begin_worker(path: Path, text: str) -> None:
    ours, its = channel()
    board = Board()
    arguments = {"control": its.fileno(), "board": board.fd, "row": 1, "path": str(path)}
    pid = spawn("splicer.worker", arguments, [its.fileno(), board.fd])
    its.close()
    try:
        _await(ours, "imported")
        config = wire.text_file(text)
        wire.send(ours, {"do": "prepare"}, (config,))
        _await(ours, "prepared")
        wire.send(ours, {"do": "stop"})
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        status = os.waitpid(pid, 0)[1]
    if status:
        raise Failed(f"it ended with {os.waitstatus_to_exitcode(status)}")


def _await(sock: socket.socket, word: str) -> None:
    if not select.select([sock], [], [], _WORKER_START_TIMEOUT)[0]:
        raise Failed(f"it has not {word} anything for {_WORKER_START_TIMEOUT:g} s")
    heard = wire.receive(sock)
    if heard is None:
        raise Failed("it has ended")
    if heard[0].get("is") != word:
        raise Failed(f"it says {heard[0]!r}")


def main() -> None:
    """Print what comes of it."""
    path, _, fd = sys.argv[1:]
    wire.answer(preflight(Path(path), wire.read_text(int(fd))))


if __name__ == "__main__":
    main()
