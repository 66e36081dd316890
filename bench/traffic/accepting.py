"""The pods' side of tunnels with both ends in one process: it accepts them while they are dialled."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from bench.traffic.dial import Address, DialFailed
from bench.traffic.wire import HEAD_END, field, switching

_TIMEOUT = 10.0  # seconds for a head, and for the last tunnel to arrive after its caller is connected
_POLL_INTERVAL = 0.05  # seconds between checks whether the thread should end
_LONGEST_HEAD = 32768
_NUMBER = re.compile(rb"GET \S*/(\d+) HTTP/1\.1\r\n")


# The listener for all of 127.0.0.0/8 and these for single addresses share the port by SO_REUSEPORT. The kernel prefers
# the more specific address (__inet_lookup_listener): calls to other pods don't come here, and once these listeners are
# closed, new calls go to the general one again.
class Accepting:
    """A context manager that accepts tunnels in a thread; accepted tunnels stay open after it.

    Args:
        addresses: to listen at.
        count: the number of tunnels; their paths end in their numbers, from 0.

    Raises:
        DialFailed: an address can't be bound.
    """

    def __init__(self, addresses: Sequence[Address], count: int) -> None:
        self._tunnels: dict[int, socket.socket] = {}
        self._count = count
        self._over = False
        self._failed = ""
        self._listeners: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        with ExitStack() as stack:
            for host, port in addresses:
                try:
                    listener = socket.create_server((host, port), backlog=4096, reuse_port=True)
                except OSError as error:
                    raise DialFailed(f"pod at {host}:{port}: {error}") from error
                stack.callback(listener.close)
                listener.setblocking(False)
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited: tcp(7)
                self._listeners.append(listener)
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._thread.join()
        self._open.close()

    def all(self) -> list[socket.socket]:
        """The accepted sockets, in the order of their numbers, non-blocking.

        Raises:
            DialFailed: a tunnel did not arrive.
        """
        self._thread.join(_TIMEOUT)
        if len(self._tunnels) < self._count:
            why = f": {self._failed}" if self._failed else ""
            raise DialFailed(f"{len(self._tunnels)} of {self._count} tunnels came to their pods{why}")
        return [self._tunnels[number] for number in range(self._count)]

    def _accept(self) -> None:
        while not self._over and len(self._tunnels) < self._count:
            for listener in select.select(self._listeners, (), (), _POLL_INTERVAL)[0]:
                with suppress(BlockingIOError):
                    self._take(listener.accept()[0])

    def _take(self, sock: socket.socket) -> None:
        sock.settimeout(_TIMEOUT)
        head = b""
        try:
            while not head.endswith(HEAD_END) and len(head) < _LONGEST_HEAD and (data := sock.recv(_LONGEST_HEAD)):
                head += data
            number, key = _NUMBER.match(head), field(head, b"sec-websocket-key")
            if not head.endswith(HEAD_END) or number is None or not key:
                raise ConnectionError(f"a pod was sent {head[:64]!r}")
            sock.sendall(switching(key))
        except OSError as error:
            self._failed = self._failed or str(error)
            sock.close()
            return
        sock.setblocking(False)
        self._tunnels[int(number[1])] = sock
