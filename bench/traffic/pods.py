"""Echoing pods: one process, one epoll, bare descriptors."""

from __future__ import annotations

import errno
import os
import select
import socket

from bench.traffic.stream import Stream
from bench.traffic.wire import BODY, HEAD_END, field, switching

_MOST = 4096  # bytes of one read; a connection that sends more at once gets a stream
_LONGEST_HEAD = 1 << 20  # response with its body
_EDGE = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_LENGTH_REQUIRED = b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def listen(host: str, port: int) -> socket.socket:
    """The listener of all pods of one address.

    Raises:
        OSError: the address can't be bound.
    """
    listener = socket.create_server((host, port), backlog=4096)
    # Set after the bind: a second set of pods must not get the port. `bench.traffic.accepting` says who shares it.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what is accepted: tcp(7)
    listener.setblocking(False)
    return listener


# A connection is in one of three states: it is in `heads` (a request is awaited, or has arrived in part), its entry in
# `echoing` is 1 (a small frame is read and written at once; nothing of it is kept), or it is in `streams`.
class Pods:
    """The connections of one process.

    Args:
        listener: may be shared with other processes.
        lifeline: a descriptor; `run` returns at its end of file. One that epoll refuses is ignored.
        descriptors: all descriptors are below this number.
    """

    def __init__(self, listener: socket.socket, lifeline: int, descriptors: int) -> None:
        self._listener = listener
        self._lifeline = lifeline
        self._epoll = select.epoll()
        self._epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        try:
            self._epoll.register(lifeline, select.EPOLLIN)
        except PermissionError:  # a file, or /dev/null: epoll_ctl(2)
            self._lifeline = -1
        self._heads: dict[int, bytes] = {}
        self._echoing = bytearray(descriptors)
        self._streams: dict[int, Stream] = {}

    def run(self) -> None:
        """Serve until the lifeline ends."""
        wait, echoing, read, write, most = self._epoll.poll, self._echoing, os.read, os.write, _MOST
        other = self._other
        while True:
            for fd, _ in wait():
                if echoing[fd]:
                    sent = 0
                    try:
                        data = read(fd, most)
                        sent = write(fd, data)
                    except BlockingIOError:
                        pass
                    except OSError:
                        self._drop(fd)
                        continue
                    if not 0 < sent == len(data) < most:
                        self._more(fd, data[sent:], ended=not data)
                elif not other(fd):
                    return

    def _other(self, fd: int) -> bool:
        if fd == self._listener.fileno():
            self._accept()
        elif fd == self._lifeline:
            return bool(os.read(fd, _MOST))
        else:
            try:
                alive = self._streams[fd].move() if fd in self._streams else self._request(fd)
            except OSError:
                alive = False
            if not alive:
                self._drop(fd)
        return True

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            # Another process was faster, the connection has ended, or no descriptor is free; nothing helps then.
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            return
        sock.setblocking(False)
        fd = sock.detach()
        self._heads[fd] = b""
        self._epoll.register(fd, select.EPOLLIN)

    def _request(self, fd: int) -> bool:
        data = os.read(fd, 16 * _MOST)
        pending = self._heads[fd] + data
        while data and fd in self._heads:
            head, end, rest = pending.partition(HEAD_END)
            if not end:
                break
            if head.startswith(b"GET /call") and (key := field(head, b"sec-websocket-key")):
                del self._heads[fd]
                self._echoing[fd] = 1
                answer = switching(key) + rest
                return os.write(fd, answer) == len(answer)
            length = int(field(head, b"content-length") or b"0")
            if field(head, b"transfer-encoding"):
                os.write(fd, _LENGTH_REQUIRED)
                return False
            if len(rest) < length:
                break
            api = head.startswith((b"GET /api/v1/", b"POST /api/v1/"))
            os.write(fd, _JSON if api else _NOT_FOUND)
            pending = rest[length:]
        self._heads[fd] = pending
        return bool(data) and len(pending) <= _LONGEST_HEAD

    def _more(self, fd: int, rest: bytes, *, ended: bool) -> None:
        """Handle everything except a small frame: the end of a call, or much data at once."""
        if ended:
            self._drop(fd)
            return
        self._echoing[fd] = 0
        self._streams[fd] = Stream(fd, rest)
        self._epoll.modify(fd, _EDGE)

    # Closing the descriptor removes it from the epoll: no other process has a duplicate.
    def _drop(self, fd: int) -> None:
        self._echoing[fd] = 0
        self._heads.pop(fd, None)
        if stream := self._streams.pop(fd, None):
            stream.close()
        os.close(fd)
