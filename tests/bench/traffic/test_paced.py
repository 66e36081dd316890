"""Paced frames, one way, straight to their own pods and through relays that lie."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bench.traffic import paced
from bench.traffic.accepting import Accepting
from bench.traffic.dial import Address, DialFailed, open_tunnels
from bench.traffic.driver import Client, TrafficFailed
from bench.traffic.pods import listen
from bench.traffic.wire import upgrade_head

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(paced.unavailable() is not None, reason=str(paced.unavailable())),
]

Answer = Callable[[socket.socket, bytes], None]
Serve = Callable[[Answer], Address]
Spoil = Callable[[int, bytes], bytes]  # of the tunnel with this number: what becomes of what came from either side

MODES = pytest.mark.parametrize("mode", ["voice", "burst"])
PACE: dict[str, float | str] = {"tunnels": 8, "rate": 50, "bytes": 320}


@pytest.fixture
def pods() -> list[Address]:
    """Two addresses with the same port, on which nobody listens."""
    with socket.create_server(("127.0.66.1", 0)) as free:
        port = free.getsockname()[1]
    return [("127.0.66.1", port), ("127.0.66.2", port)]


def run(mode: str, address: Address, pods: list[Address], cpus: set[int], **more: float) -> dict[str, Any]:
    where = ",".join(f"{host}:{port}" for host, port in pods)
    options = {**PACE, **more, "listen": where}
    with Client(mode, address, ["/call", "/other/call"], cpus, seconds=0.6, **options) as client:
        client.wait_ready()
        client.go()
        told = client.result()
        client.end()
    return told


def through(pods: list[Address], spoil: Spoil) -> Answer:
    """A relay to the first pod."""

    def answer(client: socket.socket, head: bytes) -> None:
        found = re.search(rb"/(\d+) HTTP", head)
        assert found
        number = int(found[1])
        with socket.create_connection(pods[0]) as pod:
            pod.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pod.sendall(head)
            client.sendall(pod.recv(4096))
            threading.Thread(target=copy, args=(pod, client, number), daemon=True).start()
            copy(client, pod, number)

    def copy(source: socket.socket, sink: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if spoiled := spoil(number, data):
                    sink.sendall(spoiled)
            sink.shutdown(socket.SHUT_RDWR)

    return answer


# ---- what is right ----


@MODES
def test_every_frame_comes(mode: str, pods: list[Address], cpus: set[int]) -> None:
    told = run(mode, pods[0], pods, cpus)
    assert (told["errors"], told["mismatches"], told["missing"], told["why"]) == (0, 0, 0, "")
    assert told["sent"] == told["count"] > 8 * 50 * 0.6 * 0.9
    assert told["seconds"] > 0.5
    assert told["cpu"] > 0
    assert 0 < told["latency_us"]["p50"] <= told["latency_us"]["p99"] <= told["latency_us"]["max"]
    assert {"late", "priority"} < set(told)


def test_only_in_speech_do_pods_speak(pods: list[Address], cpus: set[int]) -> None:
    told = {mode: run(mode, pods[0], pods, cpus, tunnels=40)["sent"] for mode in ("voice", "burst")}
    assert told["burst"] == 40 * 50 * 0.6
    assert told["voice"] > told["burst"] * 1.2


def test_everybody_gets_the_same_calls(pods: list[Address], cpus: set[int]) -> None:
    first, second = (run("voice", pods[0], pods, cpus)["sent"] for _ in range(2))
    assert first == second


@MODES
@pytest.mark.parametrize("size", [32, 131, 132, 65536])
def test_frames_of_all_sizes(mode: str, size: int, pods: list[Address], cpus: set[int]) -> None:
    told = run(mode, pods[0], pods, cpus, tunnels=2, bytes=size)
    assert (told["errors"], told["mismatches"], told["missing"]) == (0, 0, 0)
    assert told["count"] > 0


def test_frames_in_pieces_are_right(pods: list[Address], cpus: set[int], serve: Serve) -> None:
    def dribble(number: int, data: bytes) -> bytes:
        held[number] = held.get(number, b"") + data
        cut = max(1, len(held[number]) * 2 // 3)
        some, held[number] = held[number][:cut], held[number][cut:]
        return some

    held: dict[int, bytes] = {}
    # What is held back at the end is missing; all before is whole.
    told = run("burst", serve(through(pods, dribble)), pods, cpus)
    assert (told["errors"], told["mismatches"]) == (0, 0)
    assert told["count"] > 0
    assert told["missing"] > 0


# ---- what is wrong ----


@MODES
def test_a_changed_byte_is_found_out(mode: str, pods: list[Address], cpus: set[int], serve: Serve) -> None:
    def spoil(number: int, data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1])

    told = run(mode, serve(through(pods, spoil)), pods, cpus)
    assert (told["mismatches"], told["errors"]) == (8, 0)
    assert told["why"] == "a frame is not what was sent"


def test_a_frame_that_comes_twice_is_found_out(pods: list[Address], cpus: set[int], serve: Serve) -> None:
    told = run("burst", serve(through(pods, lambda number, data: data * 2 if number == 3 else data)), pods, cpus)
    assert (told["mismatches"], told["errors"]) == (1, 0)


def test_a_frame_of_another_call_is_found_out(pods: list[Address], cpus: set[int], serve: Serve) -> None:
    kept: dict[int, bytes] = {}

    def spoil(number: int, data: bytes) -> bytes:
        kept[number] = data
        return kept[4] if number == 5 and len(kept.get(4, b"")) == len(data) else data

    assert run("burst", serve(through(pods, spoil)), pods, cpus)["mismatches"] == 1


def test_a_swallowed_frame_is_missing(pods: list[Address], cpus: set[int], serve: Serve) -> None:
    told = run("burst", serve(through(pods, lambda number, data: b"" if number == 2 else data)), pods, cpus)
    assert (told["errors"], told["mismatches"]) == (0, 0)
    assert told["missing"] == 50 * 0.6


@MODES
def test_a_tunnel_that_closes_is_an_error(mode: str, pods: list[Address], cpus: set[int], serve: Serve) -> None:
    closing = threading.Event()

    def spoil(number: int, data: bytes) -> bytes:
        if number == 3 and not closing.is_set():
            closing.set()
            raise ConnectionResetError
        return data

    told = run(mode, serve(through(pods, spoil)), pods, cpus)
    assert (told["errors"], told["mismatches"]) == (1, 0)
    assert told["count"] > 0
    assert told["why"]


def test_no_run_without_tunnels_at_our_own_pods(
    pods: list[Address], cpus: set[int], serve: Serve, switch: Answer
) -> None:
    def elsewhere(sock: socket.socket, head: bytes) -> None:
        switch(sock, head)
        sock.recv(1)

    with pytest.raises(TrafficFailed, match="voice: 0 of 2 tunnels came to their pods"):
        run("voice", serve(elsewhere), pods, cpus, tunnels=2)


def test_no_run_with_a_frame_that_is_too_small(pods: list[Address], cpus: set[int]) -> None:
    with pytest.raises(TrafficFailed, match="voice: frames have 32 to 65536 bytes, not 24"):
        run("voice", pods[0], pods, cpus, bytes=24)


# ---- whose pods they are ----


def test_calls_come_here_while_others_have_the_port_too(pods: list[Address]) -> None:
    with listen("0.0.0.0", pods[0][1]) as everywhere:
        with Accepting(pods, 3) as accepting:
            callers = open_tunnels(pods[0], ["/call/2", "/call/0", "/call/1"], 3)
            tunnels = accepting.all()
        for number, caller in ((0, callers[1]), (1, callers[2]), (2, callers[0])):
            caller.sendall(b"%d" % number)
            tunnels[number].setblocking(True)
            assert tunnels[number].recv(9) == b"%d" % number
        with socket.create_connection(pods[1]) as later:  # and to the others when ours are closed
            everywhere.setblocking(True)
            sock, peer = everywhere.accept()
            sock.close()
            assert peer == later.getsockname()
        for sock in (*callers, *tunnels):
            sock.close()


@pytest.mark.parametrize("head", [b"GET /nothing HTTP/1.1\r\n\r\n", upgrade_head("/call", b"key"), b"GET /call/1"])
def test_what_is_no_call_is_told(pods: list[Address], head: bytes) -> None:
    with Accepting(pods, 1) as accepting:
        with socket.create_connection(pods[0]) as sock:
            sock.sendall(head)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(9) == b""
        accepting._thread.join(0.2)
        with pytest.raises(DialFailed, match="0 of 1 tunnels came to their pods: a pod was sent b'GET /"):
            accepting.all()


def test_an_address_that_is_taken_is_told(pods: list[Address]) -> None:
    with socket.create_server(pods[1]), pytest.raises(DialFailed, match=r"pod at 127\.0\.66\.2:\d+: "):
        Accepting(pods, 1)
    with socket.create_server(pods[0]):  # the first one was let go
        pass
