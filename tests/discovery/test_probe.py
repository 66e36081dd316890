"""One health check against real sockets."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio
from attrs import evolve

from splicer.discovery.probe import probe
from splicer.health import HealthCheck
from splicer.model import Endpoint
from splicer.proxyproto.outgoing import local_header
from splicer.upstream.closing import ClosingConnections
from tests.kit.descriptors import no_more_descriptors, none_left_open
from tests.kit.pods import http_pod, raw_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, until

GET = HealthCheck("/health?deep=1", timeout=0.3)
TCP = HealthCheck(timeout=0.3)
Pod = Callable[[trio.SocketStream], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    with none_left_open():
        yield


async def outcome(pod: Pod, check: HealthCheck = GET) -> str:
    """Of one check of a pod; a pod that returns closes its connection."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await pod(stream)

    closing = ClosingConnections()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = next(each.socket.getsockname()[1] for each in listeners if each.socket.family == socket.AF_INET)
        word = await probe(Endpoint("pod-1", "127.0.0.1", port), "pod-1.pods.test", check, closing)
        closing.close()
        nursery.cancel_scope.cancel()
    return word


def answering(*parts: bytes) -> Pod:
    async def pod(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        for part in parts:
            await stream.send_all(part)

    return pod


async def silent(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def resetting(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def endless(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 200 OK\r\n")
    while True:
        await stream.send_all(b"X-More: and more of it\r\n" * 1000)


@pytest.mark.parametrize(
    ("pod", "word"),
    [
        (answering(b"HTTP/1.1 200 OK\r\n\r\nhealthy"), "ok"),
        (answering(b"HTTP/1.1 2", b"04 No Content\r\n", b"\r\n"), "ok"),
        (answering(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), "ok"),
        (answering(b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n"), "status"),
        (answering(b"HTTP/1.1 404 Not Found\r\n\r\n"), "status"),
        (answering(b"HTTP/1.1 503 Unavailable\r\n\r\n"), "status"),
        (answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "bad_answer"),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "bad_answer"),
        (answering(b"HTTP/1.1 102 Processing\r\n\r\n" * 20), "bad_answer"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-"), "pod_closed"),
        (answering(), "pod_closed"),
        (resetting, "pod_reset"),
        (silent, "deadline"),
        (endless, "bad_answer"),
    ],
)
async def test_what_an_answer_means(pod: Pod, word: str) -> None:
    assert await outcome(pod) == word


async def test_a_connect_is_enough() -> None:
    assert await outcome(silent, TCP) == "ok"


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = Endpoint("pod-1", *taken.getsockname())
        for check in (GET, TCP):
            assert await probe(endpoint, "a", check, ClosingConnections()) == "connect_refused"


async def test_the_check_has_a_port_of_its_own(nursery: trio.Nursery) -> None:
    site = Site()
    place, closing = site.take(), ClosingConnections()
    await http_pod(nursery, place.address, place.port)
    check = HealthCheck("/", place.port, timeout=5.0)
    assert await probe(Endpoint("pod-1", place.address, 1), "a", check, closing) == "ok"
    closing.close()


async def test_the_request() -> None:
    heard = bytearray()

    async def pod(stream: trio.SocketStream) -> None:
        heard.extend(await stream.receive_some())
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")

    assert await outcome(pod) == "ok"
    line, *fields = heard.decode().removesuffix("\r\n\r\n").split("\r\n")
    assert line == "GET /health?deep=1 HTTP/1.1"
    host, agent, *others = fields
    assert re.fullmatch(r"Host: pod-1\.pods\.test:[0-9]+", host)
    assert re.fullmatch(r"User-Agent: splicer-health/[0-9.]+\S*", agent)
    assert others == ["Accept: */*", "Connection: close"]


@pytest.mark.parametrize("check", [GET, TCP])
async def test_a_pod_that_wants_a_proxy_header_gets_one(check: HealthCheck, nursery: trio.Nursery) -> None:
    heard: list[bytes] = []

    async def pod(wire: Wire) -> None:
        heard.append(await wire.until(b"\r\n"))
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")

    place, closing = Site().take(), ClosingConnections()
    await raw_pod(nursery, place.address, place.port, pod)
    endpoint, first = Endpoint("pod-1", place.address, place.port), local_header("v1")
    assert await probe(endpoint, "a", evolve(check, timeout=5.0), closing, first) == "ok"
    closing.close()
    await until(lambda: heard)
    assert heard == [b"PROXY UNKNOWN\r\n"]


async def test_without_a_descriptor_nothing_is_said_of_the_endpoint() -> None:
    with no_more_descriptors():
        assert await probe(Endpoint("pod-1", "127.0.0.1", 1), "a", GET, ClosingConnections()) == "no_descriptor"
