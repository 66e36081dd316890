r"""The control socket: `splicer reload` and the like send a command, and get the outcome as one line.

    reload\n  →  {"ok": true, "lines": ["routing.toml: reloaded: …"]}\n

The client keeps its side open until then; closing it cancels the wait. All clients are of the supervisor's own user or
root; still, each is bounded in bytes and time, and their number is bounded. The loop never waits for a client.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from splicer.observe.plain_log import PlainLog
from splicer.supervisor.outcomes import Outcomes, Topic
from splicer.supervisor.state import ControlState
from splicer.vault.local_socket import listen_at, peer_of

MAX_ANSWER_BYTES = 1 << 16  # fits into a socket's send buffer (net.core.wmem_default): one send(2) is enough
_MAX_FRAME_BYTES = 100  # of an answer, without its lines
_MAX_CLIENTS = 16
_MAX_WORD_BYTES = 64
_WORD_TIMEOUT = 5.0  # seconds for a client to send its command
_OUTCOME_TIMEOUT = 3600.0  # seconds for the outcome


class Client:
    """One connection, from its command to its answer.

    Args:
        sock: the connection, non-blocking.
        close: forgets this client, and closes the connection.
        word_timeout: seconds for the command to come.
    """

    def __init__(self, sock: socket.socket, close: Callable[[Client], None], word_timeout: float) -> None:
        self.sock = sock
        self.deadline = time.monotonic() + word_timeout
        self._close = close
        self._received = b""

    def read(self) -> str | None:
        """The command, once it is complete; else None.

        Raises:
            OSError: the connection is lost.
            ValueError: the bytes are no command.
        """
        try:
            part = self.sock.recv(_MAX_WORD_BYTES + 1)
        except BlockingIOError:
            return None
        if not part:
            raise ConnectionResetError
        self._received += part
        word, newline, rest = self._received.partition(b"\n")
        if len(word) > _MAX_WORD_BYTES or rest or not word.isascii():
            raise ValueError("that is no command: one word and a line feed are")
        return word.decode().strip() if newline else None

    def answer(self, lines: list[str], *, ok: bool) -> None:
        """See `outcomes.Asker`. A client whose buffer is full gets no answer; one that only reads never has that."""
        with suppress(OSError):
            self.sock.send(encode(lines, ok=ok))
        self._close(self)


class ControlSocket:
    """Listens, and receives commands.

    Args:
        selector: the loop's selector.
        outcomes: keeps the clients that wait.
        log: the log.
    """

    def __init__(self, selector: selectors.BaseSelector, outcomes: Outcomes, log: PlainLog) -> None:
        self.path: Path | None = None
        self.on_word: Callable[[Client, str], None] = lambda client, _: client.answer(["not now"], ok=False)
        self._selector = selector
        self._outcomes = outcomes
        self._log = log
        self._listener: socket.socket | None = None
        self._accepting = False
        self._clients: set[Client] = set()

    def listen(self, path: Path) -> None:
        """Listen at a path, and no longer at the one before.

        Args:
            path: the path of the socket.

        Raises:
            OSError: the socket can't be created; EADDRINUSE: another supervisor listens there.
        """
        listener = listen_at(path.absolute(), socket.SOCK_STREAM)
        self._stop_listening()
        self._listener, self.path = listener, path.absolute()
        self._accept_more()

    # If the upgrade itself has read the file after a reload was asked for, that reload is complete when all workers are
    # replaced.
    def restore(self, state: ControlState, *, reread: bool) -> None:
        """Continue the state of the program before the exec.

        Args:
            state: that state.
            reread: whether the file is read again, for reloads that were in progress.
        """
        self.path = Path(state.path)
        self._listener = socket.socket(fileno=state.fd)
        self._accept_more()
        for fd, topic in state.clients:
            client = self._add(socket.socket(fileno=fd))
            if topic:
                client.deadline = time.monotonic() + _OUTCOME_TIMEOUT
                reading = reread and topic in (Topic.READING, Topic.RELOAD)
                self._outcomes.waiting[client] = Topic.READING if reading else Topic.RENEWAL

    @property
    def state(self) -> ControlState | None:
        """The state to pass through an exec; None: there is no socket."""
        if self._listener is None:
            return None
        waiting = self._outcomes.waiting
        clients = tuple(
            (client.sock.fileno(), waiting[client].value if client in waiting else "") for client in self._clients
        )
        return ControlState(str(self.path), self._listener.fileno(), clients)

    def tidy(self) -> None:
        """Give up clients that are late, and listen again after a failure; call this once a second."""
        for client in [client for client in self._clients if time.monotonic() > client.deadline]:
            client.answer(["that took too long"], ok=False)
        self._accept_more()

    def close(self) -> None:
        """Remove the socket and close all connections; clients that wait get no answer."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()
        self._stop_listening()
        for client in list(self._clients):
            self._drop(client)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            if self._accepting:
                self._selector.unregister(self._listener)
            self._listener.close()
        self._listener, self.path, self._accepting = None, None, False

    # If there is no descriptor for a new connection, the listener is not watched until the next tick: it would stay
    # readable and keep the loop busy.
    def _accept_more(self) -> None:
        if self._listener is not None and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ, partial(self._accept, self._listener))
            self._accepting = True

    def _accept(self, listener: socket.socket, _: int) -> None:
        try:
            sock, _address = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._log("control_accept_failed", level="error", error=error.strerror)
            self._selector.unregister(listener)
            self._accepting = False
            return
        peer = peer_of(sock)
        if not peer.may_ask:
            self._log("control_peer_refused", level="error", uid=peer.uid)
            sock.close()
            return
        sock.setblocking(False)
        client = self._add(sock)
        if len(self._clients) > _MAX_CLIENTS:
            client.answer([f"{_MAX_CLIENTS} others wait for an outcome already"], ok=False)

    def _add(self, sock: socket.socket) -> Client:
        client = Client(sock, self._drop, _WORD_TIMEOUT)
        self._clients.add(client)
        self._selector.register(sock, selectors.EVENT_READ, partial(self._read, client))
        return client

    def _read(self, client: Client, _: int) -> None:
        if client not in self._clients:  # it was dropped earlier in this batch of events
            return
        if client in self._outcomes.waiting:  # it has closed, or has sent more than its command
            self._drop(client)
            return
        try:
            word = client.read()
        except OSError:
            self._drop(client)
        except ValueError as error:
            client.answer([str(error)], ok=False)
        else:
            if word is not None:
                client.deadline = time.monotonic() + _OUTCOME_TIMEOUT
                self.on_word(client, word)

    def _drop(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._outcomes.forget(client)
            self._selector.unregister(client.sock)
            client.sock.close()


def encode(lines: list[str], *, ok: bool) -> bytes:
    """The bytes of an answer; if it is too long, its last line says how many lines are missing."""
    kept: list[str] = []
    left = MAX_ANSWER_BYTES - _MAX_FRAME_BYTES
    for line in lines:
        left -= len(json.dumps(line)) + 2
        if left < 0:
            kept.append(f"and {len(lines) - len(kept)} more: the log has them all")
            break
        kept.append(line)
    return json.dumps({"ok": ok, "lines": kept}).encode() + b"\n"


def decode(data: bytes) -> tuple[bool, list[str]]:
    """Parse an answer: whether the command succeeded, and the lines for a person.

    Raises:
        ValueError: the data is no answer.
    """
    said: Any = json.loads(data)
    match said:
        case {"ok": bool(ok), "lines": [*lines]}:
            return ok, [str(line) for line in lines]
    raise ValueError("no answer of a supervisor's")
