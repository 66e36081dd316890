"""A holder whose selector the test turns, and those who talk to it, message by message."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from typing import Any, Self

from splicer.vault import protocol
from splicer.vault.holder import KEEP_SECONDS, Holder
from splicer.vault.journal import Journal
from splicer.vault.protocol import Kind, Message


class Tunnel:
    """Two connections: the outer ends, and the inner ones that a worker has."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.client, self.inner_client = socket.socketpair()
        self.pod, self.inner_pod = socket.socketpair()
        for sock in self.sockets:
            sock.setblocking(False)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return self.client, self.pod, self.inner_client, self.inner_pod

    def is_held(self) -> bool:
        """Whether anybody has the inner ends."""
        try:
            return bool(self.client.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


class Pipe:
    """A pipe as a worker has it."""

    def __init__(self, data: bytes = b"") -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(self.write_fd, data)

    def leave(self) -> None:
        """The worker's read end is gone."""
        os.close(self.read_fd)
        self.read_fd = -1

    def is_held(self) -> bool:
        """Whether anybody has a read end."""
        try:
            os.write(self.write_fd, b"?")
        except BrokenPipeError:
            return False
        return True

    def close(self) -> None:
        for fd in (self.read_fd, self.write_fd):
            if fd >= 0:
                os.close(fd)


class Talker:
    """A worker's end of a connection to the vault, with a journal."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.journal = Journal()

    def send(
        self,
        kind: int,
        number: int = 0,
        payload: bytes = b"",
        fds: tuple[int, ...] = (),
        *,
        flags: int = 0,
        quantity: int = 0,
        version: int = protocol.VERSION,
    ) -> None:
        data = bytearray(protocol.pack(Kind.HELLO, number, payload, flags=flags, quantity=quantity))
        data[:2] = version, kind
        protocol.send(self.sock, bytes(data), fds)

    def hello(self) -> None:
        self.send(Kind.HELLO, fds=(self.journal.fd,))

    def serve(self, slot: int = 1, slots: int = 1) -> None:
        self.send(Kind.SERVE, slot, quantity=slots)

    def answer(self) -> Message:
        """What the vault says next; it must say something."""
        message = self.hear()
        assert message is not None
        return message

    def tunnel(self, tunnel: Tunnel, passport: bytes = b"passport") -> None:
        """Register it, and have it no more."""
        inner = tunnel.inner_client, tunnel.inner_pod
        self.send(Kind.TUNNEL, tunnel.key, passport, tuple(sock.fileno() for sock in inner))
        for sock in inner:
            sock.close()

    def pipe(self, pipe: Pipe, place: int = 0, word: int = 0) -> None:
        """Register it, and have its read end no more."""
        self.send(Kind.PIPE, place, fds=(pipe.read_fd,))
        self.journal.words[place] = word
        pipe.leave()

    def hear(self) -> Message | None:
        """What the vault says next; None: its end is closed."""
        return protocol.receive(self.sock)

    def adopt(self) -> Message:
        """The next tunnel that is handed over; the test owns its descriptors."""
        message = self.hear()
        assert message is not None
        assert message.kind == Kind.TUNNEL
        return message

    def hears_nothing(self) -> bool:
        try:
            message = self.hear()
        except BlockingIOError:
            return True
        if message is not None:
            message.close()
        return False

    def close(self) -> None:
        """Die."""
        self.sock.close()
        if self.journal.fd >= 0:
            self.journal.close()
            self.journal.fd = -1


def close_messages(*messages: Message) -> None:
    for message in messages:
        message.close()


class Rig:
    """The holder and all that a test makes; everything is closed at the end."""

    def __init__(self, keep: float = KEEP_SECONDS) -> None:
        self.selector = selectors.DefaultSelector()
        self.logged: list[str] = []
        self.holder = Holder(self.selector, self._log, keep)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.hear()
        for held in self.holder.tunnels.values():
            held.close()
        assert not self.holder.channels
        self.selector.close()

    def _log(self, event: str, **_: Any) -> None:
        self.logged.append(event)

    def hear(self) -> None:
        """Let the holder do all that is to be done."""
        while ready := self.selector.select(0):
            for key, events in ready:
                key.data(events)

    def talker(self, slot: int = 0, slots: int = 1) -> Talker:
        """Somebody who has said hello, and which slot it serves."""
        ours, its = protocol.channel()
        self.holder.attach(ours)
        talker = Talker(its)
        self._stack.callback(talker.close)
        talker.hello()
        if slot:
            talker.serve(slot, slots)
        self.hear()
        return talker

    def own(self, sock: socket.socket) -> None:
        """Close it at the end."""
        self._stack.callback(sock.close)

    def tunnel(self, key: int = 2) -> Tunnel:
        tunnel = Tunnel(key)
        self._stack.callback(tunnel.close)
        return tunnel

    def pipe(self, data: bytes = b"") -> Pipe:
        pipe = Pipe(data)
        self._stack.callback(pipe.close)
        return pipe
