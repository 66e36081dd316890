"""The control socket of a supervisor whose processes nobody has started, and those who come to it."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

from attrs import define, field

from splicer.supervisor.control_socket import decode
from splicer.supervisor.supervisor import Supervisor
from tests.supervisor.harness import SupervisorHarness

TIMEOUT = 30.0  # seconds


@define
class Door:
    """The control socket of an edge, and those who come to it."""

    harness: SupervisorHarness
    path: Path
    supervisor: Supervisor
    stack: ExitStack = field(factory=ExitStack)

    def client(self, word: bytes = b"") -> socket.socket:
        """One that has said this, and the supervisor has taken it in."""
        sock = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sock.settimeout(TIMEOUT)
        sock.connect(str(self.path))
        if word:
            sock.sendall(word)
        self.harness.turn()
        return sock

    def reload_is_read(self) -> None:
        """Wait for the child that reads the file."""
        while self.supervisor._reload._config_probe.underway:
            for key, events in self.harness.selector.select(TIMEOUT):
                key.data(events)
        self.harness.turn()


def outcome(sock: socket.socket) -> tuple[bool, list[str]]:
    """What a client hears, until the other end closes."""
    data = b""
    while part := sock.recv(1 << 16):
        data += part
    return decode(data)


def hears_nothing_yet(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    finally:
        sock.settimeout(TIMEOUT)
    return False
