from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import pytest

from bench.traffic.dial import Address
from bench.traffic.driver import Child, Client, TrafficFailed, pods

Answer = Callable[[socket.socket, bytes], None]


def test_tunnels_stay_open_until_the_end(serve: Callable[[Answer], Address], switch: Answer, cpus: set[int]) -> None:
    ended = threading.Event()

    def echo(sock: socket.socket, head: bytes) -> None:
        switch(sock, head)
        while data := sock.recv(4096):
            sock.sendall(data)
        ended.set()

    with Client("idle", serve(echo), ["/call"], cpus, seconds=0.1, tunnels=1) as client:
        client.wait_ready()
        client.go()
        assert client.result()["count"] == 1
        assert not ended.wait(0.2)
        client.end()
        assert ended.wait(10)


def test_it_is_pinned(cpus: set[int]) -> None:
    one = {max(cpus)}
    with pods(0, one, host="127.0.0.1") as child:
        assert os.sched_getaffinity(child.pid) == one


def test_all_its_processes_are_gone_when_left(serve: Callable[[Answer], Address], cpus: set[int]) -> None:
    connected = threading.Semaphore(0)
    left = threading.Semaphore(0)

    def silent(sock: socket.socket, head: bytes) -> None:
        connected.release()
        sock.recv(1)
        left.release()

    with Client("saturate", serve(silent), ["/call"], cpus, seconds=1, tunnels=2, processes=2):
        assert all(connected.acquire(timeout=10) for _ in range(2))
    assert all(left.acquire(timeout=1) for _ in range(2))


def test_the_port_is_free_when_left(pod: Address, cpus: set[int]) -> None:
    for _ in range(3):
        with pods(pod[1], cpus, processes=3, host="127.0.0.77"):
            pass


def test_a_port_in_use(pod: Address, cpus: set[int]) -> None:
    with pytest.raises(TrafficFailed, match=r"^pods: .*Address already in use"), pods(pod[1], cpus, host=pod[0]):
        pass


def test_nobody_there(cpus: set[int]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        for mode in ("saturate", "http"):
            with (
                pytest.raises(TrafficFailed, match=rf"^{mode}: \w+ 1 of \d+ at 127.0.0.1:\d+: .*refused"),
                Client(mode, sock.getsockname(), ["/call"], cpus, seconds=1, processes=2) as client,
            ):
                client.wait_ready()


def test_a_server_that_is_silent(serve: Callable[[Answer], Address], cpus: set[int]) -> None:
    def silent(sock: socket.socket, head: bytes) -> None:
        sock.recv(1)

    with (
        Client("saturate", serve(silent), ["/call"], cpus, seconds=1) as client,
        pytest.raises(TrafficFailed, match=r"^saturate: said nothing for 0\.3 s$"),
    ):
        client.wait_ready(0.3)


@pytest.mark.parametrize(
    ("options", "fault"),
    [({"tunnels": 0}, "argument --tunnels: 1 or more"), ({"bytes": 23}, "argument --bytes: 24 or more")],
)
def test_wrong_usage(cpus: set[int], options: dict[str, float], fault: str) -> None:
    with (
        pytest.raises(TrafficFailed, match=fault),
        Client("saturate", ("127.0.0.1", 1), ["/call"], cpus, seconds=1, **options) as client,
    ):
        client.wait_ready()


def test_processors_that_are_not_there() -> None:
    with pytest.raises(TrafficFailed, match=r"^pods: processors \[4095\]: "), Child(["pods", "127.0.0.1", "0"], {4095}):
        pass
