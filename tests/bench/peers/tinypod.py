"""A pod of a few lines: it remembers the request lines, takes upgrades, and echoes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3
UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: edge.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\npod"


class TinyPod:
    """See the module.

    Args:
        connections: how many it has taken.
        seen: the targets of all requests.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.connections = 0
        self.seen: list[str] = []
        self._listener = listener

    def run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                while head := head_of(sock):
                    self.seen.append(head.split()[1].decode())
                    if b"pgrade: websocket" in head:
                        sock.sendall(_SWITCHING)
                        while data := sock.recv(65536):
                            sock.sendall(data)
                    else:
                        sock.sendall(_OK)
            except OSError:
                return


@contextmanager
def tiny_pod(address: str, port: int) -> Iterator[TinyPod]:
    with socket.create_server((address, port)) as listener:
        pod = TinyPod(listener)
        thread = threading.Thread(target=pod.run, daemon=True)
        thread.start()
        try:
            yield pod
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def head_of(sock: socket.socket) -> bytes:
    """The next head; empty at the end of the stream. Nothing may follow it at once."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(65536)
        if not data:
            return b""
        head += data
    return head
