"""Each peer that is installed does the job: all of them the same things."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import frozen

from bench import certificate
from bench.names import serving
from bench.peers import ALL
from bench.peers.base import Job, Peer, Proxy
from bench.peers.process import session_of
from bench.peers.template import free_address
from bench.traffic.secured import wrapped
from tests.bench.peers.tinypod import ACCEPT, UPGRADE, TinyPod, head_of, tiny_pod

pytestmark = pytest.mark.slow

POD = "127.0.77.1"
TIMEOUT = 10.0


@frozen
class Running:
    proxy: Proxy
    pod: TinyPod

    def status(self, target: str) -> int:
        line = http.client.HTTPConnection(*self.proxy.address, timeout=TIMEOUT)
        try:
            line.request("GET", target)
            return line.getresponse().status
        finally:
            line.close()

    @contextmanager
    def call(self, target: str = "/ws/pod/agent-1/call") -> Iterator[socket.socket]:
        with socket.create_connection(self.proxy.address, timeout=TIMEOUT) as sock:
            sock.sendall(UPGRADE % target.encode())
            head = head_of(sock)
            assert head.startswith(b"HTTP/1.1 101 ")
            assert ACCEPT in head
            yield sock


def echoes(call: socket.socket, data: bytes = b"frame") -> bool:
    call.sendall(data)
    back = b""
    while len(back) < len(data):
        more = call.recv(len(data))
        assert more, "the call has ended"
        back += more
    return back == data


@contextmanager
def started(peer: Peer, routes: int = 0, workers: int = 1) -> Iterator[Running]:
    if reason := peer.missing():
        pytest.skip(reason)
    pods = (("agent-1", POD), ("agent-2", POD))
    port = free_address()[1]
    with (
        serving(pods, "pods.bench") as nameserver,
        tiny_pod(POD, port) as pod,
        peer.running(
            Job(pods, port, nameserver, routes=routes, workers=workers), {max(os.sched_getaffinity(0))}
        ) as proxy,
    ):
        yield Running(proxy, pod)


@pytest.fixture(scope="module", params=ALL, ids=lambda peer: peer.name)
def peer(request: pytest.FixtureRequest) -> Peer:
    found: Peer = request.param
    return found


@pytest.fixture(scope="module")
def running(peer: Peer) -> Iterator[Running]:
    with started(peer) as running:
        yield running


def test_a_call_over_tls(peer: Peer, tmp_path: Path) -> None:
    if reason := peer.missing() or certificate.unavailable():
        pytest.skip(reason)
    pods, port, cpus = (("agent-1", POD),), free_address()[1], {max(os.sched_getaffinity(0))}
    files = certificate.write(tmp_path)
    with (
        serving(pods, "pods.bench") as nameserver,
        tiny_pod(POD, port) as pod,
        peer.running(Job(pods, port, nameserver, certificate=files), cpus) as proxy,
        socket.create_connection(proxy.address, timeout=TIMEOUT) as raw,
        wrapped(raw) as call,
    ):
        call.do_handshake()
        call.sendall(UPGRADE % b"/ws/pod/agent-1/call")
        assert head_of(call).startswith(b"HTTP/1.1 101 ")
        assert echoes(call, os.urandom(300_000))
        assert (call.version(), pod.seen[-1]) == ("TLSv1.3", "/call")


def test_health_is_its_own(running: Running) -> None:
    seen = len(running.pod.seen)
    assert running.status("/health") == 200
    assert running.pod.seen[seen:] == []


def test_a_call_reaches_its_pod_rewritten_and_is_a_tunnel(running: Running) -> None:
    with running.call("/ws/pod/agent-2/call/a?b=c%20d&e") as call:
        assert running.pod.seen[-1] == "/call/a?b=c%20d&e"
        assert echoes(call)
        assert echoes(call, os.urandom(300_000))


def test_plain_http_to_a_pod_is_rewritten_too(running: Running) -> None:
    assert running.status("/ws/pod/agent-1/call/x?y=z") == 200
    assert running.pod.seen[-1] == "/call/x?y=z"


def test_the_api_keeps_its_path_and_its_connections(running: Running) -> None:
    assert running.status("/api/v1/first") == 200
    connections = running.pod.connections
    for number in range(5):
        assert running.status(f"/api/v1/twilio/allocate?n={number}") == 200
        assert running.pod.seen[-1] == f"/api/v1/twilio/allocate?n={number}"
    assert running.pod.connections == connections


def test_an_unknown_pod_is_an_error(running: Running) -> None:
    assert running.status("/ws/pod/agent-9/call") in (502, 503, 504)


def test_no_other_path_reaches_a_pod(running: Running) -> None:
    seen = len(running.pod.seen)
    assert running.status("/ws/pod/agent-1") == 404
    assert running.pod.seen[seen:] == []


def test_it_is_on_its_processors(running: Running) -> None:
    assert {frozenset(os.sched_getaffinity(pid)) for pid in running.proxy.pids()} == {
        frozenset({max(os.sched_getaffinity(0))})
    }


def test_its_workers_are_its_own(running: Running) -> None:
    assert len(running.proxy.workers()) == 1
    assert set(running.proxy.workers()) <= set(running.proxy.pids())


def test_a_reload_keeps_serving_and_keeps_calls(running: Running) -> None:
    with running.call() as call:
        for _ in range(2):
            running.proxy.reload()
            for _ in range(10):
                assert running.status("/health") == 200
                assert echoes(call)
                time.sleep(0.02)
        with running.call() as another:
            assert echoes(another)


def test_many_routes_and_workers(peer: Peer) -> None:
    with started(peer, routes=10, workers=2) as running:
        for target in ("/other-1/x", "/other-10/y?z"):
            assert running.status(target) == 200
            assert running.pod.seen[-1] == target
        with running.call() as call:
            assert echoes(call)
        assert running.status("/other-11/x") == 404


def test_nobody_stays(peer: Peer) -> None:
    with started(peer) as running, running.call() as call:
        assert echoes(call)
        sessions = {os.getsid(pid) for pid in running.proxy.pids()}
        address = running.proxy.address
    assert [one for session in sessions for one in session_of(session)] == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_it_tells_its_version(peer: Peer) -> None:
    if reason := peer.missing():
        pytest.skip(reason)
    assert peer.version()[0].isdecimal()
