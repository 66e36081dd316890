"""A call of the simulation: two TCP connections whose outer ends the test has, and what must come out of them."""

from __future__ import annotations

import random
import socket
import struct

CLIENT, POD = 0, 1
_LENGTH = 1 << 18  # bytes of a stream, at most
_BUFFERS = 8192  # bytes: little is on its way before a pipe is full too
_SEGMENT = 1400  # bytes: loopback's own would not fit into such buffers
_BLOCK = random.Random("law").randbytes(_LENGTH * 24)


class Broken(AssertionError):
    """The law is broken."""


class Side:
    """One outer end of a call."""

    def __init__(self, sock: socket.socket, source: bytes) -> None:
        self.sock = sock
        self.source = source  # what it sends, if asked for so much
        self.sent = 0  # of it
        self.got = bytearray()
        self.finished = False  # sending
        self.ended = False  # receiving
        self.was_reset = False

    def write(self, size: int) -> None:
        """Send so many bytes, or what the kernel takes."""
        if self.finished:
            return
        try:
            self.sent += self.sock.send(self.source[self.sent : self.sent + size], socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        except OSError:
            self.finished = True

    def read(self, size: int) -> bool:
        """Receive so many bytes at most; whether anything came."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(size)
        except BlockingIOError:
            return False
        except OSError:
            self.ended = self.was_reset = True
            return True
        self.got += data
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # so that nobody waits 40 ms
        self.ended = not data
        return True

    def half_close(self) -> None:
        """Send no more."""
        if not self.finished:
            self.finished = True
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self.was_reset = True

    def reset(self) -> None:
        """Leave with an RST."""
        if self.sock.fileno() < 0:
            return
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.finished = self.ended = True


class Call:
    """One tunnel's outer ends."""

    def __init__(self, number: int) -> None:
        self.key = (number + 1) << 8
        self.inner: list[socket.socket] = []
        self.sides: list[Side] = []
        for side in (CLIENT, POD):
            outer, inner = _tcp_pair()
            start = (number * 2 + side) * _LENGTH
            self.sides.append(Side(outer, _BLOCK[start : start + _LENGTH]))
            self.inner.append(inner)
        self.registered = False
        self.unprotected = False  # it may have been opened before the holder had been told, or could be seen to be
        self.never = False  # its worker died before
        self.cut = False  # short, by one of the outer ends or by a worker

    def check(self) -> None:
        """Compare what came with what was sent."""
        client, pod = self.sides
        for name, side, other in (("client", client, pod), ("pod", pod, client)):
            got, sent = bytes(side.got), other.source[: other.sent]
            if got != sent[: len(got)]:
                wrong = next(
                    at for at, (one, two) in enumerate(zip(got, sent + bytes(1 << 20), strict=False)) if one != two
                )
                raise Broken(f"call {self.key:x}: byte {wrong} of {len(got)} at the {name} is wrong")
            if self.never:
                if got:
                    raise Broken(f"call {self.key:x}: never begun, yet the {name} got {len(got)} bytes")
            elif not self.cut and (len(got) != len(sent) or side.was_reset):
                raise Broken(f"call {self.key:x}: {len(got)} of {len(sent)} bytes at the {name}, {side.was_reset=}")


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.socket() as listener:
        outer = socket.socket()
        for sock in (listener, outer):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFERS)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFERS)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        outer.connect(listener.getsockname())
        inner, _ = listener.accept()
    outer.setblocking(False)
    return outer, inner
