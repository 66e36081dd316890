"""The service manager's end of sd_notify(3): what it is told, and by whom."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")  # struct ucred, unix(7)


class Manager:
    """Hears what is sent to one address; see `manager_at`.

    Args:
        name: of its socket, as NOTIFY_SOCKET has it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: list[list[str]] = []
        self.pids: set[int] = set()  # who has sent them
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._sock.setblocking(False)
        self._sock.bind("\0" + name[1:] if name.startswith("@") else name)

    def take(self) -> list[list[str]]:
        """The messages that came since this was last asked, each as its lines; `messages` has them all."""
        begin = len(self.messages)
        while True:
            try:
                data, ancillary, _, _ = self._sock.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return self.messages[begin:]
            self.messages.append(data.decode().split("\n"))
            [(_, _, credentials)] = ancillary
            self.pids.add(_CREDENTIALS.unpack(credentials)[0])

    @property
    def lines(self) -> list[str]:
        """All lines that came, in order."""
        self.take()
        return [line for message in self.messages for line in message]

    @property
    def words(self) -> list[str]:
        """Those that tell of a change, in order."""
        return [line for line in self.lines if line in ("READY=1", "RELOADING=1", "STOPPING=1")]

    @property
    def status(self) -> str:
        """The last one."""
        told = [line.removeprefix("STATUS=") for line in self.lines if line.startswith("STATUS=")]
        return told[-1] if told else ""

    def close(self) -> None:
        self._sock.close()


@contextmanager
def manager_at(name: str | Path | None = None) -> Iterator[Manager]:
    """A manager at a path, or, without one, at an abstract address."""
    manager = Manager(str(name or f"@splicer-test-{secrets.token_hex(8)}"))
    try:
        yield manager
    finally:
        manager.close()
