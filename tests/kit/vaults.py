"""A `splicer vault` as a process of its own, seen from outside."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from splicer.vault import protocol
from splicer.vault.protocol import Kind, Message
from tests.kit.edge import session_of
from tests.kit.wire import TIMEOUT, until

_POLL_INTERVAL = 0.005  # seconds
_BAD = ("tunnel_abandoned", "vault_message_lost", "vault_error", "tls_died", "tls_crash", "tls_not_started")
_LISTENS = "0A"  # TCP_LISTEN, as /proc/net/tcp has it


class Vault:
    """One at a time at its path; see `vault_at`.

    Args:
        path: of the socket.
        keep: its option.
        tls: whether it runs the tls processes.
        lines: its log, of all its lives.
    """

    def __init__(self, path: Path, keep: str, *, tls: bool = False) -> None:
        self.path = path
        self._tls = ["--tls"] if tls else []
        self.lines: list[dict[str, Any]] = []
        self._keep = keep
        self._readers: list[threading.Thread] = []
        self.lives: list[int] = []  # the pids that it has had
        self.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def tls_pids(self) -> list[int]:
        """Its tls processes, and those of a former life that still have connections."""
        return sorted(pid for life in self.lives for pid, title in session_of(life) if title == "splicer: tls")

    def start(self) -> None:
        """Start the process, and wait until it listens."""
        ready = len(self.find("vault_ready"))
        command = [
            sys.executable,
            "-m",
            "splicer",
            "vault",
            "--socket",
            str(self.path),
            "--keep",
            self._keep,
            *self._tls,
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        self.lives.append(self.process.pid)
        reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        reader.start()
        self._readers.append(reader)
        late = time.monotonic() + TIMEOUT
        while len(self.find("vault_ready")) == ready:
            assert self.process.poll() is None, "the vault has ended"
            assert time.monotonic() < late, "the vault is not ready"
            time.sleep(_POLL_INTERVAL)

    def kill(self) -> None:
        """Kill the process by SIGKILL."""
        self.process.kill()
        self.process.wait()

    def find(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Its log lines with this event and these fields."""
        return [
            line
            for line in list(self.lines)
            if line["event"] == event and all(line.get(key) == value for key, value in fields.items())
        ]

    def take(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Take such lines, which are expected, out of its log."""
        taken = self.find(event, **fields)
        self.lines[:] = [line for line in self.lines if not any(line is one for one in taken)]
        return taken

    async def line(self, event: str, **fields: object) -> dict[str, Any]:
        """The first such line; waits for it."""
        return (await until(lambda: self.find(event, **fields)))[0]

    def tunnels(self) -> int:
        """The number of tunnels that it holds."""
        return self._ask(Kind.COUNT).quantity

    def keeps(self, address: tuple[str, int]) -> bool:
        """Whether it has the socket that listens at an address (proc(5), /proc/net/tcp)."""
        host, port = address
        near = "{:08X}:{:04X}".format(*struct.unpack("=I", socket.inet_aton(host)), port)
        table = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        wanted = {f"socket:[{words[9]}]" for words in table if words[1] == near and words[3] == _LISTENS}
        return any(str(link.readlink()) in wanted for link in Path(f"/proc/{self.pid}/fd").iterdir())

    def listeners(self) -> list[list[object]]:
        """The addresses of the listeners that it keeps; it answers only while no supervisor is connected."""
        message = self._ask(Kind.LISTENERS, Kind.ASK)
        message.close()
        kept: list[list[object]] = json.loads(message.payload)
        assert len(kept) == len(message.fds)
        return kept

    def close(self) -> None:
        """Stop it by SIGTERM, and check that it ended without an error."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                assert self.process.wait(TIMEOUT) == 0
        finally:
            self.kill()
            for pid in self.tls_pids:  # one that has no connection any more ends by itself, but not at once
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for reader in self._readers:
                reader.join(TIMEOUT)
        bad = [line for line in self.lines if line["event"] in _BAD]
        assert not bad, bad

    def _ask(self, answer: Kind, question: Kind | None = None) -> Message:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(self.path))
            protocol.send(sock, protocol.pack(question or answer))
            poll = select.poll()  # select(2) knows no descriptor above 1023
            poll.register(sock, select.POLLIN)
            assert poll.poll(TIMEOUT * 1000), "the vault does not answer"
            message = protocol.receive(sock)
        assert message is not None
        assert message.kind == answer
        return message

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for raw in process.stdout:
                self.lines.append(json.loads(raw))


@contextmanager
def vault_at(path: Path, keep: str = "10m", *, tls: bool = False) -> Iterator[Vault]:
    """Run a vault.

    Args:
        path: of its socket.
        keep: how long calls are kept while no worker is there.
        tls: whether it runs the tls processes.
    """
    vault = Vault(path, keep, tls=tls)
    try:
        yield vault
    finally:
        vault.close()
