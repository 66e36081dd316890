"""Open the clients' tunnels."""

from __future__ import annotations

import base64
import os
import resource
import socket
from collections.abc import Sequence
from itertools import cycle, islice

from bench.traffic.secured import check, wrapped
from bench.traffic.wire import HEAD_END, accept_key, fault_of_101, upgrade_head

_AT_ONCE = 32  # handshakes at a time: well below any backlog
_TIMEOUT = 10.0  # time limit of a handshake before the run, seconds
_LONGEST_HEAD = 32768

Address = tuple[str, int]


class DialFailed(Exception):
    """A tunnel could not be opened; the message has one line."""


def all_descriptors() -> int:
    """Raise the soft limit of descriptors to the hard one, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def fresh_key() -> bytes:
    """A ``Sec-WebSocket-Key`` (RFC 6455 §4.1)."""
    return base64.b64encode(os.urandom(16))


def open_tunnels(address: Address, targets: Sequence[str], count: int, *, tls: bool = False) -> list[socket.socket]:
    """Open tunnels by verified handshakes, `_AT_ONCE` at a time; the sockets are non-blocking.

    Args:
        address: of the proxy, or of a pod.
        targets: paths, used in turn.
        count: the number of tunnels.
        tls: whether they are over TLS; then each is an `ssl.SSLSocket`.

    Raises:
        DialFailed: one of them could not be had.
    """
    tunnels: list[socket.socket] = []
    turn = cycle(targets)
    while len(tunnels) < count:
        some = list(islice(turn, min(_AT_ONCE, count - len(tunnels))))
        try:
            dialled = [(*_dial(address, target, tls=tls), target) for target in some]
            tunnels += [_verified(sock, accept, target) for sock, accept, target in dialled]
        except OSError as error:
            host, port = address
            raise DialFailed(f"tunnel {len(tunnels) + 1} of {count} at {host}:{port}: {error}") from error
    return tunnels


def _dial(address: Address, target: str, *, tls: bool) -> tuple[socket.socket, bytes]:
    key = fresh_key()
    sock = socket.create_connection(address, timeout=_TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        sock = secured = wrapped(sock)
        secured.do_handshake()
        check(secured)
    sock.sendall(upgrade_head(target, key))
    return sock, accept_key(key)


def _verified(sock: socket.socket, accept: bytes, target: str) -> socket.socket:
    answer = b""
    while not answer.endswith(HEAD_END):
        data = sock.recv(_LONGEST_HEAD)
        answer += data
        if not data or HEAD_END in answer[:-4] or len(answer) > _LONGEST_HEAD:
            break
    fault = fault_of_101(answer, accept) or ("" if answer.endswith(HEAD_END) else "bytes behind the 101")
    if fault:
        raise DialFailed(f"{target}: {fault}")
    sock.setblocking(False)
    return sock
