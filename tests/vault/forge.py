"""The test's side of workers that do one thing at a time (tests/vault/stepped.py).

`Forge` forks them from a small process, so that hundreds of them cost little.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

_ROOT = Path(__file__).resolve().parent.parent.parent
MAX_BYTES = 1 << 17  # of an order, or of an answer


class Gone(Exception):
    """The worker is dead."""


_WITH_EXTENSION = """
import runpy
import sys
from tests.kit import extension
extension.load(sys.argv.pop(1))
runpy.run_module("tests.vault.stepped", run_name="__main__")
"""


class Forge:
    """Makes workers.

    Args:
        extension: a build of the C extension that counts its steps; None: Python moves the bytes.
    """

    def __init__(self, extension: Path | None = None) -> None:
        self.native = extension is not None
        program = ["-m", "tests.vault.stepped"] if extension is None else ["-c", _WITH_EXTENSION, str(extension)]
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.set_inheritable(True)
            self._process = subprocess.Popen(
                [sys.executable, *program, str(theirs.fileno())],
                cwd=_ROOT,
                env={**os.environ, "SPLICER_NATIVE": str(int(self.native))},
                pass_fds=[theirs.fileno()],
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.close()
        self._process.wait()

    def make(self, vault: socket.socket | str, fuse: int = 0, flaw: str = "", *, hasty: bool = False) -> Worker:
        """A worker.

        Args:
            vault: its end of a connection to the vault, which is owned from now on; or the path of the vault's socket.
            fuse: system call that it dies at; 0: none.
            flaw: what it does wrong.
            hasty: it waits no second for a vault that takes nothing.
        """
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            path = vault if isinstance(vault, str) else None
            settings = {"fuse": fuse, "flaw": flaw, "path": path, "hasty": hasty}
            fds = [its.fileno(), *([] if isinstance(vault, str) else [vault.fileno()])]
            socket.send_fds(self._orders, [json.dumps(settings).encode()], fds)
        if not isinstance(vault, str):
            vault.close()
        return Worker(ours)


class Worker:
    """The test's side of a worker."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        control.settimeout(20)
        self.steps = 0  # that it has counted
        self.pid = 0

    def greet(self) -> None:
        """Wait until it is there.

        Raises:
            Gone: it isn't.
        """
        self._hear()

    def order(self, do: str, fds: tuple[int, ...] = (), **more: Any) -> None:
        """Let it do something, and wait until it has.

        Raises:
            Gone: it died meanwhile.
        """
        try:
            socket.send_fds(self._control, [json.dumps({"do": do, **more}).encode()], fds)
        except OSError as error:
            raise Gone from error
        self._hear()

    def _hear(self) -> None:
        try:
            data = self._control.recv(MAX_BYTES)
        except ConnectionResetError as error:
            raise Gone from error
        if not data:
            raise Gone
        answer = json.loads(data)
        assert "crash" not in answer, answer["crash"]
        self.steps, self.pid = answer["steps"], answer["pid"]

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        while self._control.recv(MAX_BYTES):
            pass

    def close(self) -> None:
        """Let it end, if it has not."""
        self._control.close()
