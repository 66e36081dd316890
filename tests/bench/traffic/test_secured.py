"""Clients over TLS, against servers that lie."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bench.certificate import CHAIN, KEY, write
from bench.traffic.dial import Address
from bench.traffic.driver import Client, TrafficFailed

pytestmark = pytest.mark.slow

Answer = Callable[[socket.socket, bytes], None]


@contextmanager
def server(files: Path, answer: Answer, latest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[Address]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / CHAIN, files / KEY)
    context.maximum_version = latest

    def serve(raw: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(raw, server_side=True) as sock:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (data := sock.recv(4096)):
                    return
                head += data
            answer(sock, head)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


def run(mode: str, address: Address, cpus: set[int], **options: float) -> dict[str, Any]:
    with Client(mode, address, ["/call"], cpus, seconds=0.3, **options) as client:
        client.wait_ready()
        client.go()
        told = client.result()
        client.end()
    return told


def test_frames_and_calls(switch: Answer, cpus: set[int], tmp_path: Path) -> None:
    def echo(sock: socket.socket, head: bytes) -> None:
        switch(sock, head)
        while data := sock.recv(65536):
            sock.sendall(data)

    with server(write(tmp_path), echo) as address:
        told = run("tls-frames", address, cpus, tunnels=2, rate=20)
        assert (told["count"], told["errors"], told["missing"], told["mismatches"]) == (24, 0, 0, 0)
        told = run("tls-handshakes", address, cpus, clients=2)
        assert (told["count"] > 0, told["errors"], told["mismatches"]) == (True, 0, 0)


def test_wrong_bytes_are_found_out(switch: Answer, cpus: set[int], tmp_path: Path) -> None:
    def lie(sock: socket.socket, head: bytes) -> None:
        switch(sock, head)
        while data := sock.recv(65536):
            sock.sendall(data[:-1] + bytes([data[-1] ^ 1]))

    with server(write(tmp_path), lie) as address:
        assert run("tls-frames", address, cpus, tunnels=2, rate=20)["mismatches"] == 2


def test_no_other_version_is_measured(switch: Answer, cpus: set[int], tmp_path: Path) -> None:
    with server(write(tmp_path), switch, ssl.TLSVersion.TLSv1_2) as address, pytest.raises(TrafficFailed):
        run("tls-frames", address, cpus, tunnels=1, rate=20)
