from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from bench.traffic.dial import Address
from bench.traffic.driver import pods
from bench.traffic.wire import accept_key

Answer = Callable[[socket.socket, bytes], None]  # what a server does with a connection, once its head is there


@pytest.fixture(scope="session")
def cpus() -> set[int]:
    return os.sched_getaffinity(0)


@pytest.fixture(scope="module")
def pod(cpus: set[int]) -> Iterator[Address]:
    """True pods."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pods(port, cpus, host="127.0.0.1"):
        yield "127.0.0.1", port


class Server:
    """A server whose connections are in the hands of a function of the test."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._connections: list[socket.socket] = []
        self.address: Address = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._connections.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (data := sock.recv(4096)):
                    return
                head += data
            self._answer(sock, head)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Address]]:
    """Start servers that do what the test says."""
    servers: list[Server] = []

    def start(answer: Answer) -> Address:
        servers.append(Server(answer))
        return servers[-1].address

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def switch() -> Answer:
    """Answer a handshake as is right."""

    def answer(sock: socket.socket, head: bytes) -> None:
        found = re.search(rb"Sec-WebSocket-Key: (\S+)", head)
        assert found
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n"
            b"sec-websocket-accept: " + accept_key(found[1]) + b"\r\n\r\n"
        )

    return answer
