"""The other two sides of a measurement, each a process of its own: pods, and clients that make as much load as goes.

    python -m bench.load pods HOST PORT
    python -m bench.load handshakes|frames HOST PORT --target /path --clients 8 --seconds 2

The clients print how many handshakes, or frames back and forth, came about in how many seconds, as JSON.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time

_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3
_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % _ACCEPT
)
_HEAD = (
    b"GET %s HTTP/1.1\r\nHost: edge.test\r\nUser-Agent: Twilio.TmeWs/1.0\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
    b"X-Twilio-Signature: 0123456789abcdef\r\n\r\n"
)
_FRAME = bytes(160)  # 20 ms of telephone speech
_MOST = 4096  # bytes of one receipt

Address = tuple[str, int]


def pods(address: Address) -> None:
    """Take every handshake, and send back whatever follows it, until killed."""
    with socket.create_server(address, backlog=4096) as listener, select.epoll() as poll:
        poll.register(listener, select.EPOLLIN)
        calls: dict[int, socket.socket] = {}
        talking: set[int] = set()
        while True:
            for fd, _ in poll.poll():
                if fd == listener.fileno():
                    sock, _ = listener.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    calls[sock.fileno()] = sock
                    poll.register(sock, select.EPOLLIN)
                elif not _serve(calls[fd], fd in talking):
                    talking.discard(fd)
                    calls.pop(fd).close()
                else:
                    talking.add(fd)


def _serve(sock: socket.socket, talking: bool) -> bool:
    """One step; False at the end. A head comes in one piece here, and its echo always finds room."""
    try:
        data = sock.recv(_MOST)
        sock.sendall(data if talking else _ANSWER)
    except OSError:
        return False
    return bool(data)


def handshakes(address: Address, target: str, clients: int, seconds: float) -> tuple[int, float]:
    """So many clients, each of which hangs up as soon as it has its 101, and calls anew."""
    count = 0
    begun = time.perf_counter()
    with select.epoll() as poll:
        calls: dict[int, socket.socket] = {}
        for _ in range(clients):
            _dial(address, target, poll, calls)
        while time.perf_counter() < begun + seconds:
            for fd, _ in poll.poll(1.0):
                _check(calls[fd].recv(_MOST))
                calls.pop(fd).close()
                count += 1
                _dial(address, target, poll, calls)
        lasted = time.perf_counter() - begun
        for sock in calls.values():
            sock.close()
    return count, lasted


def frames(address: Address, target: str, clients: int, seconds: float) -> tuple[int, float]:
    """So many clients, each of which sends its next frame when the last one has come back."""
    with select.epoll() as poll:
        calls: dict[int, socket.socket] = {}
        for _ in range(clients):
            sock = _dial(address, target, poll, calls)
            _check(sock.recv(_MOST))
        count = 0
        for sock in calls.values():
            sock.sendall(_FRAME)
        begun = time.perf_counter()
        while time.perf_counter() < begun + seconds:
            for fd, _ in poll.poll(1.0):
                calls[fd].sendall(calls[fd].recv(_MOST))
                count += 1
        lasted = time.perf_counter() - begun
        for sock in calls.values():
            sock.close()
    return count, lasted


def _dial(address: Address, target: str, poll: select.epoll, calls: dict[int, socket.socket]) -> socket.socket:
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(_HEAD % (target.encode(), _KEY))
    calls[sock.fileno()] = sock
    poll.register(sock, select.EPOLLIN)
    return sock


def _check(answer: bytes) -> None:
    if not (answer.startswith(b"HTTP/1.1 101 ") and _ACCEPT in answer and answer.endswith(b"\r\n\r\n")):
        sys.exit(f"no 101, but {answer!r}")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["pods", "handshakes", "frames"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--target", default="/")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    asked = parser.parse_args()
    address = asked.host, asked.port
    if asked.mode == "pods":
        pods(address)
    run = handshakes if asked.mode == "handshakes" else frames
    count, seconds = run(address, asked.target, asked.clients, asked.seconds)
    json.dump({"count": count, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
