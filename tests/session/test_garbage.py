"""However an exchange ends, nothing of it is left for the garbage collector.

An exception's traceback holds the frames that it came through: where one of them keeps the exception, or keeps what
keeps it, all of that stays until a full collection, which walks every call's objects while all frames wait.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.authorization import Authorize, OnFailure
from splicer.errors import BadCapture, ConnectRefused, NameNotFound, NoDescriptor, PodError, ResolveFailed, SplicerError
from splicer.model import Respond
from tests.kit.garbage import counting_garbage
from tests.kit.http import read_head, read_request
from tests.session.edge import (
    APP,
    APP_UPSTREAM,
    SPARE,
    Edge,
    Script,
    answering,
    fallback_route,
    open_edge,
    route,
    upstream,
)
from tests.session.message import GET, OK, POST, PUT, SWITCHING, UPGRADE, answer
from tests.session.wire import Peer

AUTH = "10.0.0.9"
DEADLINES = {"head": 2, "connect": 2, "handshake": 3, "attempts": 4, "body_idle": 4, "response": 5, "keepalive": 2}
CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUESTS = {
    "get": GET,
    "post": POST,
    "put": PUT,
    "half a body": POST[:-2],
    "withheld body": POST[:-4].replace(b"Host", b"Expect: 100-continue\r\nHost"),
    "half a chunk": CHUNKED + b"3\r\na",
    "bad chunk": CHUNKED + b"zz\r\n",
    "too long": CHUNKED + b"fff\r\n" + bytes(0xFFF) + b"\r\n",
    "announced too long": POST.replace(b" 4\r\n", b" 4000\r\n"),
    "upgrade": UPGRADE,
    "1.0": b"GET /x HTTP/1.0\r\n\r\n",
    "half a head": GET[:-9],
    "no head": b"\x00\r\n\r\n",
    "nothing": b"",
}


async def silent(pod: Peer) -> None:
    await trio.sleep_forever()


async def resetting(pod: Peer) -> None:
    await read_head(pod)
    pod.end.reset()


async def closing(pod: Peer) -> None:
    await read_head(pod)
    pod.end.close()


async def beginning(pod: Peer) -> None:
    await read_request(pod)
    await pod.send(answer(b"0123456789")[:-5])


async def breaking_off(pod: Peer) -> None:
    await beginning(pod)
    pod.end.close()


async def early(pod: Peer) -> None:
    await read_head(pod)
    await pod.send(answer(b"no", "403 No"))


async def switching(pod: Peer) -> None:
    await read_head(pod)
    await pod.send(SWITCHING)
    await pod.send(b"bye")
    pod.end.close()


def saying(raw: bytes) -> Script:
    async def script(pod: Peer) -> None:
        await read_head(pod)
        await pod.send(raw)

    return script


PODS: dict[str, Script | SplicerError | None] = {
    "ok": answering(OK),
    "closing after it": answering(OK, times=1, close=True),
    "unwanted": answering(answer(b"busy", "503 Busy")),
    "silent": silent,
    "resetting": resetting,
    "closing": closing,
    "beginning": beginning,
    "breaking off": breaking_off,
    "early": early,
    "no HTTP": saying(b"SSH-2.0\r\n\r\n"),
    "bad chunk": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"),
    "bad chunked head": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length : 1\r\n\r\n"),
    "switching": switching,
    "wrong 101": saying(SWITCHING.replace(b"s3pP", b"XXXX")),
    "refusing": ConnectRefused("refused"),
    "without descriptor": NoDescriptor("none"),
    "unreachable": None,
}


async def waits(client: Peer, edge: Edge) -> None:
    await client.was_reset()
    client.end.close()


async def leaves(client: Peer, edge: Edge) -> None:
    await trio.sleep(1)
    client.end.close()


async def resets(client: Peer, edge: Edge) -> None:
    await trio.sleep(1)
    client.end.reset()


async def is_stopped(client: Peer, edge: Edge) -> None:
    await trio.sleep(1)
    edge.stop()
    await waits(client, edge)


CLIENTS = (waits, leaves, resets, is_stopped)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with open_edge() as opened:
        opened.context.pool.per_endpoint = opened.context.closing.most = 0
        yield opened


@pytest.fixture
def left(edge: Edge) -> Iterator[Callable[[], Awaitable[int]]]:
    """How many objects the collector finds when all is over."""

    async def look() -> int:
        while edge.serving:  # noqa: ASYNC110  # virtual time
            await trio.sleep(1)
        for pod in edge.pod_peers:
            pod.end.close()
        for kept in (edge.streams, edge.pod_peers, edge.spliced, edge.told.opened, edge.told.closed, edge.told.ended):
            kept.clear()
        await wait_all_tasks_blocked()
        return count()

    with counting_garbage() as count:
        yield look


@pytest.mark.parametrize("kind", REQUESTS)
async def test_no_end_of_an_exchange_leaves_garbage(edge: Edge, kind: str, left: Callable[[], Awaitable[int]]) -> None:
    found = {}
    for fallback in (False, True):
        make = fallback_route if fallback else route
        edge.use(make(deadlines=DEADLINES, upgrade=("websocket",)), body_bytes=1000)
        for name, pod in PODS.items():
            for client in CLIENTS:
                edge.pods |= {APP: pod, SPARE: answering(OK)}
                peer = await edge.ask(REQUESTS[kind])
                await client(peer, edge)
                del peer
                if garbage := await left():
                    found[fallback, name, client.__name__] = garbage
    assert found == {}


@pytest.mark.parametrize("kind", ["get", "post", "upgrade"])
async def test_no_question_to_an_authorizer_leaves_garbage(
    edge: Edge, kind: str, left: Callable[[], Awaitable[int]]
) -> None:
    edge.names.served["auth.test"] = (AUTH,)
    placed = answering(answer(b"", "200 OK", "X-Pod: a"))
    found = {}
    ways: tuple[OnFailure, ...] = ("refuse", "fallback", "allow")
    for on_failure in ways:
        rule = Authorize(upstream("auth"), "/place", headers=("X-User",), on_failure=on_failure)
        edge.use(fallback_route(deadlines={**DEADLINES, "authorize": 3}, upgrade=("websocket",), authorize=rule))
        for name, authorizer in {**PODS, "placed": placed}.items():
            for client in CLIENTS:
                edge.pods |= {AUTH: authorizer, APP: PODS["refusing"], SPARE: answering(OK)}
                peer = await edge.ask(REQUESTS[kind])
                await client(peer, edge)
                del peer
                if garbage := await left():
                    found[on_failure, name, client.__name__] = garbage
    assert found == {}


ADDRESSES: list[tuple[Script | SplicerError | None, Script | SplicerError | None]] = [
    (ConnectRefused("one"), ConnectRefused("two")),
    (ConnectRefused("one"), None),
    (ConnectRefused("one"), answering(OK)),
    (None, ConnectRefused("two")),
    (None, None),
    (None, answering(OK)),
]


async def test_no_address_that_fails_leaves_garbage(edge: Edge, left: Callable[[], Awaitable[int]]) -> None:
    edge.use(route(deadlines=DEADLINES))
    edge.names.served["app.test"] = (APP, SPARE)
    found = {}
    for index, (first, second) in enumerate(ADDRESSES):
        for raw in (GET, POST):
            edge.pods |= {APP: first, SPARE: second}
            peer = await edge.ask(raw)
            await waits(peer, edge)
            if garbage := await left():
                found[index, raw] = garbage
    assert found == {}


async def test_no_refusal_leaves_garbage(edge: Edge, left: Callable[[], Awaitable[int]]) -> None:
    found = {}
    failures: list[PodError | None] = [NameNotFound("none"), ResolveFailed("failed"), None]
    for failure in failures:
        for make in (route, fallback_route):
            edge.use(make(deadlines=DEADLINES))
            edge.names.served["app.test"] = failure
            edge.pods[SPARE] = answering(OK)
            for raw in (GET, POST):
                peer = await edge.ask(raw)
                await waits(peer, edge)
                if garbage := await left():
                    found[repr(failure), make.__name__, raw] = garbage
    edge.use(
        route("path", "/x", respond=Respond(200, b"x")),
        route("regex", "^/(?<pod>[^/]+)/x$", upstream=upstream("pod", "{pod}.test")),
        route("path", "/closed", upstream=APP_UPSTREAM, clients=()),
        route("path", "/get", methods=("GET",)),
    )
    for raw in (GET, POST, b"GET /a_b/x", b"GET /closed", b"POST /get", b"GET /nowhere", b"TRACE /x"):
        peer = await edge.ask(raw if raw in (GET, POST) else raw + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        peer.end.send_eof()
        await waits(peer, edge)
        if garbage := await left():
            found["respond", BadCapture.reason, raw] = garbage
    assert found == {}


async def test_no_refusal_over_the_limit_leaves_garbage(edge: Edge, left: Callable[[], Awaitable[int]]) -> None:
    edge.use(route(deadlines=DEADLINES, upgrade=("websocket",)))
    edge.context.may_use_pod = lambda: False
    for raw in (GET, POST, UPGRADE):
        peer = edge.connect(over=True)
        await peer.send(raw)
        await waits(peer, edge)
        edge.told.refused.clear()
        assert await left() == 0


async def test_no_circle_leaves_garbage(edge: Edge, left: Callable[[], Awaitable[int]]) -> None:
    edge.use(route(deadlines=DEADLINES))
    peer = await edge.ask(GET.replace(b"Host", b"Via: 1.1 splicer" + b", 1.1 splicer" * 4 + b"\r\nHost"))
    await waits(peer, edge)
    assert await left() == 0


async def test_a_bug_leaves_no_garbage(edge: Edge, left: Callable[[], Awaitable[int]]) -> None:
    edge.expect_crash = True
    edge.use(route(upgrade=("websocket",)))

    async def crash(_: object) -> None:
        raise ZeroDivisionError

    edge.on_splice = crash  # type: ignore[assignment]  # it never ends well
    edge.pods[APP] = switching
    peer = await edge.ask(UPGRADE)
    await waits(peer, edge)
    assert len(edge.told.crashes) == 1
    edge.told.crashes.clear()
    assert await left() == 0
