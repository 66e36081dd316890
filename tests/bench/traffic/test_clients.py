"""Each load, straight against pods, and against servers that lie."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from bench.traffic.dial import Address
from bench.traffic.driver import Client, TrafficFailed
from bench.traffic.wire import BODY

pytestmark = pytest.mark.slow

Answer = Callable[[socket.socket, bytes], None]
Serve = Callable[[Answer], Address]
Load = dict[str, Any]

EVEN: Load = {"mode": "even", "tunnels": 4, "rate": 50, "seconds": 0.4}
SATURATE: Load = {"mode": "saturate", "tunnels": 4, "seconds": 0.3}
BULK: Load = {"mode": "bulk", "tunnels": 2, "bytes": 65536, "seconds": 0.3}
IDLE: Load = {"mode": "idle", "tunnels": 4, "seconds": 0.1}
TUNNELS = pytest.mark.parametrize("load", [EVEN, SATURATE, BULK, IDLE], ids=lambda load: load["mode"])


def run(address: Address, load: Load, cpus: set[int], path: str = "/call") -> dict[str, Any]:
    asked = dict(load)
    with Client(asked.pop("mode"), address, [path, path + "/2"], cpus, **asked) as client:
        client.wait_ready()
        client.go()
        told = client.result()
        client.end()
    assert told["seconds"] > 0
    assert told["cpu"] > 0
    return told


def clean(told: dict[str, Any]) -> bool:
    return (told["errors"], told["mismatches"], told["why"]) == (0, 0, "")


@pytest.mark.parametrize("processes", [1, 2])
def test_even_frames_are_sent_at_the_rate(pod: Address, cpus: set[int], processes: int) -> None:
    told = run(pod, EVEN | {"processes": processes}, cpus)
    assert clean(told)
    assert (told["count"], told["missing"]) == (2 * 4 * 50 * 0.4, 0)
    assert told["seconds"] >= 0.38
    assert 0 < told["latency_us"]["p50"] <= told["latency_us"]["max"]
    assert {"late", "stall_ms", "priority"} < set(told)


@pytest.mark.parametrize("processes", [1, 2])
def test_saturate(pod: Address, cpus: set[int], processes: int) -> None:
    told = run(pod, SATURATE | {"processes": processes}, cpus)
    assert clean(told)
    assert told["count"] > 8
    assert told["count"] % 2 == 0


@pytest.mark.parametrize("size", [24, 65536, 1 << 20])
def test_bulk(pod: Address, cpus: set[int], size: int) -> None:
    told = run(pod, BULK | {"bytes": size}, cpus)
    assert clean(told)
    assert told["bytes"] == told["count"] * size > 0


def test_handshakes_in_a_closed_loop(pod: Address, cpus: set[int]) -> None:
    told = run(pod, {"mode": "handshakes", "clients": 4, "seconds": 0.3, "processes": 2}, cpus)
    assert clean(told)
    assert told["count"] > 4
    assert told["latency_us"]["p50"] > 0


def test_handshakes_at_a_rate(pod: Address, cpus: set[int]) -> None:
    told = run(pod, {"mode": "handshakes", "rate": 100, "seconds": 0.5}, cpus)
    assert clean(told)
    assert told["count"] == 50


def test_idle(pod: Address, cpus: set[int]) -> None:
    told = run(pod, IDLE | {"tunnels": 100}, cpus)
    assert clean(told)
    assert told["count"] == 100


def test_http(pod: Address, cpus: set[int]) -> None:
    told = run(pod, {"mode": "http", "clients": 4, "seconds": 0.3}, cpus, "/api/v1/x")
    assert clean(told)
    assert told["count"] > 4
    assert told["latency_us"]["p50"] > 0


@TUNNELS
def test_wrong_bytes_are_found_out(serve: Serve, switch: Answer, cpus: set[int], load: Load) -> None:
    def lie(sock: socket.socket, head: bytes) -> None:
        switch(sock, head)
        while data := sock.recv(65536):
            sock.sendall(data[:-1] + bytes([data[-1] ^ 1]))

    told = run(serve(lie), load, cpus)
    assert (told["mismatches"], told["errors"]) == (load["tunnels"], 0)
    assert "back changed" in told["why"] or "not what was sent" in told["why"]


@pytest.mark.parametrize("load", [EVEN, SATURATE], ids=lambda load: load["mode"])
def test_an_echo_on_another_tunnel_is_found_out(serve: Serve, switch: Answer, cpus: set[int], load: Load) -> None:
    socks: list[socket.socket] = []

    def lie(sock: socket.socket, head: bytes) -> None:
        socks.append(sock)
        switch(sock, head)
        while data := sock.recv(65536):
            socks[socks.index(sock) ^ 1].sendall(data)

    assert run(serve(lie), load, cpus)["mismatches"] > 0


@TUNNELS
def test_a_tunnel_that_closes_is_an_error(serve: Serve, switch: Answer, cpus: set[int], load: Load) -> None:
    number = itertools.count()

    def lie(sock: socket.socket, head: bytes) -> None:
        mine = next(number)
        switch(sock, head)
        while data := sock.recv(65536):
            if mine == 0:
                return
            sock.sendall(data)

    told = run(serve(lie), load, cpus)
    assert (told["errors"], told["mismatches"]) == (1, 0)
    assert told["count"] > 0


@pytest.mark.parametrize("load", [SATURATE, BULK], ids=lambda load: load["mode"])
def test_a_swallowed_frame_is_an_error(serve: Serve, switch: Answer, cpus: set[int], load: Load) -> None:
    def lie(sock: socket.socket, head: bytes) -> None:
        switch(sock, head)
        while sock.recv(65536):
            pass

    told = run(serve(lie), load, cpus)
    assert (told["errors"], told["mismatches"], told["count"]) == (load["tunnels"], 0, 0)
    assert "did not come" in told["why"]


def test_a_swallowed_paced_frame_is_missing(serve: Serve, switch: Answer, cpus: set[int]) -> None:
    def lie(sock: socket.socket, head: bytes) -> None:
        switch(sock, head)
        for _ in range(10):
            sock.sendall(sock.recv(65536))
        while sock.recv(65536):
            pass

    told = run(serve(lie), EVEN, cpus)
    assert (told["errors"], told["mismatches"]) == (0, 0)
    assert told["count"] / 2 + told["missing"] == 4 * 20
    assert told["missing"] >= 4
    assert told["stall_ms"] > 0


@TUNNELS
def test_echoes_in_pieces_are_right(serve: Serve, switch: Answer, cpus: set[int], load: Load) -> None:
    def dribble(sock: socket.socket, head: bytes) -> None:
        switch(sock, head)
        while data := sock.recv(65536):
            for start in range(0, len(data), 1 + len(data) // 3):
                sock.sendall(data[start : start + 1 + len(data) // 3])
                time.sleep(0.001)

    told = run(serve(dribble), load, cpus)
    assert clean(told)
    assert told["count"] > 0


def test_several_echoes_at_once_are_right(serve: Serve, switch: Answer, cpus: set[int]) -> None:
    def bunch(sock: socket.socket, head: bytes) -> None:
        switch(sock, head)
        held = b""
        while data := sock.recv(65536):
            held += data
            if len(held) >= 5 * 320:
                sock.sendall(held)
                held = b""

    told = run(serve(bunch), EVEN, cpus)
    assert clean(told)
    assert (told["count"], told["missing"]) == (160, 0)


@pytest.mark.parametrize("mode", ["even", "saturate", "bulk", "idle", "handshakes"])
@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "no 101, but 'HTTP/1.1 502 Bad Gateway'"),
        (
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "a 101 with a wrong Sec-WebSocket-Accept",
        ),
        (b"", "no 101, but ''"),
    ],
)
def test_no_run_without_a_right_101(serve: Serve, cpus: set[int], mode: str, answer: bytes, fault: str) -> None:
    address = serve(lambda sock, _: sock.sendall(answer))
    with (
        pytest.raises(TrafficFailed, match="^" + f"{mode}: /call: {fault}"),
        Client(mode, address, ["/call"], cpus, seconds=1) as client,
    ):
        client.wait_ready()


@pytest.mark.parametrize(
    ("lie", "errors", "mismatches"),
    [
        (b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", 0, 1),
        (b"HTTP/1.1 503 x\r\n\r\n", 1, 0),
        (b"HTTP/1.1 101", 1, 0),
        (None, 1, 0),
    ],
)
def test_a_bad_handshake_in_the_run(
    serve: Serve, switch: Answer, cpus: set[int], lie: bytes | None, errors: int, mismatches: int
) -> None:
    number = itertools.count()

    def answer(sock: socket.socket, head: bytes) -> None:
        if (mine := next(number)) == 5 and lie is not None:
            sock.sendall(lie)
            return
        if mine == 5:
            sock.recv(1)
        switch(sock, head)
        sock.recv(1)

    told = run(serve(answer), {"mode": "handshakes", "clients": 3, "seconds": 0.3}, cpus)
    assert (told["errors"], told["mismatches"]) == (errors, mismatches)
    assert told["count"] > 3


def response(body: bytes = BODY, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), more, body)


@pytest.mark.parametrize(
    ("last", "errors", "mismatches"),
    [
        (response(), 0, 0),  # closed behind an answer: a kept connection may be
        (response(more=b"Connection: close\r\n"), 0, 0),
        (response(BODY[:-1] + b"x"), 0, 1),
        (response(BODY + b"x"), 0, 1),
        (response(b"x" + BODY), 0, 1),
        (response(status=b"503 x"), 1, 0),
        (response()[:-9], 1, 0),
    ],
)
def test_answers_of_all_sorts(serve: Serve, cpus: set[int], last: bytes, errors: int, mismatches: int) -> None:
    connections = itertools.count()
    enough = threading.Event()

    def answer(sock: socket.socket, _: bytes) -> None:
        if next(connections) > 0:
            enough.set()
        for _turn in range(5):
            sock.sendall(response())
            sock.recv(4096)
        if not enough.is_set():
            sock.sendall(last)
            return
        while True:
            sock.sendall(response())
            if not sock.recv(4096):
                return

    told = run(serve(answer), {"mode": "http", "clients": 1, "seconds": 0.3}, cpus, "/api/v1/x")
    assert (told["errors"], told["mismatches"]) == (errors, mismatches)
    assert told["count"] >= 5
