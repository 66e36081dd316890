"""Sends a command to a supervisor through its control socket, and waits for the outcome."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from splicer.errors import SplicerError
from splicer.supervisor.control_socket import MAX_ANSWER_BYTES, decode
from splicer.supervisor.locate import Found, has_ended, supervisor, supervisors
from splicer.vault.local_socket import peer_of

_CONNECT_TIMEOUT = 10.0  # seconds; a healthy supervisor accepts a connection at once


class CommandFailed(SplicerError):
    """The command was refused or failed, or there is no supervisor to ask.

    Args:
        faults: why, one clear line each.
    """

    reason = "command"

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Supervisor:
    """A running supervisor that takes commands.

    Args:
        config: its routing.toml.
        pid: its pid, needed if several supervisors run the same file.
        path: the path of its control socket; None: the path in its process title.

    Raises:
        CommandFailed: there is none, or there are several.
    """

    def __init__(self, config: Path, pid: int | None, path: Path | None) -> None:
        self._path = path
        self._found = None if path is not None and pid is None else _find(config, pid)

    def signal(self, signum: int) -> list[str]:
        """Send a signal without waiting for its effect; the result is an empty list of lines.

        Raises:
            CommandFailed: there is no such process, or the signal may not be sent to it.
        """
        pid = self._found.pid if self._found is not None else self._pid_at_the_other_end()
        try:
            os.kill(pid, signum)
        except OSError as error:
            raise CommandFailed(f"process {pid}: {error.strerror}") from error
        return []

    def ask(self, word: str, timeout: float) -> list[str]:
        """Send a command, and wait until it is done; return the outcome as lines for a person.

        Args:
            word: the command.
            timeout: seconds.

        Raises:
            CommandFailed: the command failed, or is not done in time.
        """
        late = time.monotonic() + timeout
        sock, pid = self._connect()
        with sock:
            ok, lines = _outcome(sock, word, late, pid)
        if not ok:
            raise CommandFailed(*lines)
        if word == "handover" and pid and not has_ended(pid, max(0.0, late - time.monotonic())):
            raise CommandFailed(f"process {pid} has handed its calls over, but has not ended yet")
        return lines

    def _pid_at_the_other_end(self) -> int:
        sock, pid = self._connect()
        sock.close()
        return pid

    def _connect(self) -> tuple[socket.socket, int]:
        if self._path is not None:
            return _connected(self._path, None if self._found is None else self._found.pid)
        assert self._found is not None  # noqa: S101 - one of the two is known
        pid, path = self._found.pid, self._found.control
        if path is None:
            raise CommandFailed(f"process {pid} has no control socket: say --no-wait, and look into its log")
        # The supervisor may be in another container, and its path is relative to its own root. If this process may not
        # use that root, the path is tried as it is.
        with suppress(CommandFailed):
            return _connected(Path(f"/proc/{pid}/root{path}"), pid)
        return _connected(path, pid)


def _find(config: Path, pid: int | None) -> Found:
    if pid is not None:
        found = supervisor(pid)
        if found is None:
            raise CommandFailed(f"process {pid} is no supervisor of splicer's")
        return found
    all_found = supervisors(config)
    if len(all_found) != 1:
        many = f"{len(all_found)} supervisors run it; say --pid"
        none = "nobody runs it; name the file of `splicer run` with -c, or its process with --pid"
        raise CommandFailed(f"{config}: {many if all_found else none}")
    return all_found[0]


# Through a descriptor of the directory: the whole path may be too long for an address (unix(7), sun_path).
def _connected(path: Path, pid: int | None) -> tuple[socket.socket, int]:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(_CONNECT_TIMEOUT)
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
    except OSError as error:
        sock.close()
        raise CommandFailed(_fault(path, error)) from error
    peer = peer_of(sock)
    if pid is not None and peer.pid != pid:
        sock.close()
        raise CommandFailed(f"{path}: another process than {pid} is there: {peer.pid}")
    return sock, peer.pid


def _fault(path: Path, error: OSError) -> str:
    match error:
        case PermissionError():
            return f"{path}: {error.strerror}: be the user of `splicer run`, or root"
        case FileNotFoundError() | ConnectionRefusedError():
            return f"{path}: {error.strerror}: no supervisor is there"
    return f"{path}: {error.strerror or error}"


def _outcome(sock: socket.socket, word: str, late: float, pid: int) -> tuple[bool, list[str]]:
    who = f"process {pid}" if pid else "the supervisor"
    received = b""
    try:
        sock.sendall(f"{word}\n".encode())
        while not received.endswith(b"\n") and len(received) <= MAX_ANSWER_BYTES:
            sock.settimeout(max(0.001, late - time.monotonic()))
            part = sock.recv(1 << 16)
            if not part:
                break
            received += part
    except TimeoutError:
        raise CommandFailed(f"{word}: {who} is still at it; its log will say how it went") from None
    except OSError:
        received = b""
    if not received:
        raise CommandFailed(f"{word}: {who} has ended, or has gone away, before it said how it went: see its log")
    try:
        return decode(received)
    except ValueError:
        raise CommandFailed(f"{word}: {who} answers with something else than an outcome") from None
