"""The vault's state of one tunnel, and of one connection to a worker."""

from __future__ import annotations

import array
import fcntl
import math
import os
import socket
import stat
import termios
from collections import deque
from contextlib import suppress

from splicer.vault import protocol
from splicer.vault.journal import JournalReader
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind

_LISTEN = 10  # TCP_LISTEN in <netinet/tcp.h>, the first byte of struct tcp_info (tcp(7))


class Held:
    """A tunnel: its two sockets, its passport, and pipes with bytes that a dead worker has left."""

    __slots__ = (
        "adoptions",
        "client",
        "crashes",
        "due",
        "given",
        "key",
        "orphaned",
        "owner",
        "passport",
        "pipes",
        "pod",
        "slot",
    )

    def __init__(self, key: int, passport: bytes, client: int, pod: int, slot: int, adoptions: int) -> None:
        self.key = key
        self.passport = passport
        self.client = client
        self.pod = pod
        self.slot = slot  # of the worker that had it first, or has it now
        self.adoptions = adoptions
        self.crashes = 0  # workers that have died with it, not those that left it
        self.owner: Channel | None = None
        self.orphaned = 0.0  # when it lost its owner, on the monotonic clock
        self.due = 0.0  # when it may go to a worker of any slot
        self.given = -math.inf  # when it was given to its owner
        self.pipes: dict[int, int] = {}  # direction → read end; the write end is closed

    def close(self) -> None:
        """Close its descriptors."""
        for fd in (self.client, self.pod, *self.pipes.values()):
            try:  # noqa: SIM105 - for each call; `suppress` takes as long as close(2)
                os.close(fd)
            except OSError:  # the others must be closed all the same
                pass

    # Another process may hold a duplicate, and then close(2) alone sends no FIN.
    def shut(self) -> None:
        """End both connections with a FIN."""
        for fd in (self.client, self.pod):
            with suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
                sock.shutdown(socket.SHUT_RDWR)

    def message(self, version: int) -> tuple[bytes, tuple[int, ...]]:
        """The message and descriptors for its new owner, made from the current state, in this protocol version."""
        pipes = {way: self.pipes[way] for way in (TO_POD, TO_CLIENT) if way in self.pipes and unread(self.pipes[way])}
        flags = sum(protocol.parked(way) for way in pipes) | protocol.crashed(self.crashes, version)
        data = protocol.pack(
            Kind.TUNNEL, self.key, self.passport, flags=flags, quantity=self.adoptions, version=version
        )
        return data, (self.client, self.pod, *pipes.values())


class Channel:
    """The vault's end of a connection to a worker or to a supervisor."""

    __slots__ = ("journal", "keys", "leaves", "outbox", "pipes", "slot", "sock", "supervises", "version")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.supervises = False
        self.leaves = False  # whether its end is no crash
        self.version = protocol.VERSION  # the protocol version of the other side
        self.slot = 0  # the slot that the worker serves; 0: none
        self.journal: JournalReader | None = None
        self.pipes: dict[int, int] = {}  # place in the journal → read end
        self.keys: dict[int, None] = {}  # of the tunnels that it owns, in the order in which it got them
        self.outbox: deque[Held | tuple[bytes, tuple[int, ...]]] = deque()

    def is_gone(self) -> bool:
        """Whether the other side has closed, and all its messages have been read."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True


def unread(pipe: int) -> int:
    """The number of bytes in a pipe (FIONREAD, ioctl_pipe(2)); 0 if the descriptor is no pipe."""
    answer = array.array("i", [0])
    with suppress(OSError):
        fcntl.ioctl(pipe, termios.FIONREAD, answer)
    return answer[0]


# ---- checks of descriptors from other processes, which may be anything ----


def is_pipe(fd: int) -> bool:
    """Whether a descriptor is a pipe's."""
    return stat.S_ISFIFO(os.fstat(fd).st_mode)


def is_channel(fd: int) -> bool:
    """Whether a descriptor is a unix socket that keeps packets apart."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return False
    with socket.socket(fileno=os.dup(fd)) as sock:
        return (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_SEQPACKET)


def is_stream(fd: int, *, listens: bool = False) -> bool:
    """Whether a descriptor is a stream socket: a connection (which the peer may have reset meanwhile) or a listener.

    Args:
        fd: the descriptor; it stays open.
        listens: whether it must be a listener.
    """
    try:
        # Twice for each call: `socket.socket` takes three times as long, and asks for what these arguments say.
        sock = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    except OSError:
        return False
    try:
        return (sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _LISTEN) is listens
    except OSError:  # not TCP
        return (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
            and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) is listens
        )
    finally:
        sock.detach()
