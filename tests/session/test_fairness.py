"""Nobody who always has more to say keeps the worker to himself: live calls wait for no stream of bytes."""

from __future__ import annotations

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from splicer.model import Endpoint, Respond
from splicer.net.dial import InTime
from splicer.session.connection import Connection
from splicer.session.turns import Turns, Work
from tests.session.edge import APP, Edge, answering, route, upstream
from tests.session.message import GET, POST
from tests.session.wire import End, connection

HEALTH = route("path", "/health", respond=Respond(200, b"healthy\n"))
NOWHERE = route("path", "/x", upstream=upstream("nowhere"))


class Flood(End):
    """Somebody who always has more to be read, for a while, and reads all that it is told."""

    def __init__(self, raw: bytes, first: bytes = b"", left: int = 200) -> None:
        end, _ = connection()
        super().__init__(end._incoming, end._outgoing)
        self._first = first
        self._raw = raw
        self.left = left

    def receive_now(self, max_bytes: int) -> bytes | None:
        if self._first:
            first, self._first = self._first, b""
            return first
        if not self.left:
            return b""
        self.left -= 1
        return self._raw

    async def receive_some(self, max_bytes: int, *, later: bool = False) -> bytes:
        if later:
            await trio.lowlevel.checkpoint()
        return self.receive_now(max_bytes) or b""

    async def send_all(self, data: bytes) -> None:
        pass

    def send_now(self, data: bytes) -> int:
        return len(data)

    def is_quiet(self) -> bool:
        return False

    def is_gone(self) -> bool:
        return False


class Sink(End):
    """Somebody who takes everything, and says nothing."""

    def __init__(self) -> None:
        end, _ = connection()
        super().__init__(end._incoming, end._outgoing)

    async def send_all(self, data: bytes) -> None:
        pass

    def send_now(self, data: bytes) -> int:
        return len(data)


async def turns_of_others(edge: Edge, client: End) -> int:
    """How often somebody else gets a turn while a client is served."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await trio.lowlevel.checkpoint()
            ticks += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        await Connection(edge.context, client, "192.0.2.9").serve()
        nursery.cancel_scope.cancel()
    return ticks


@pytest.mark.parametrize(
    "raw",
    [GET.replace(b"/x", b"/health"), GET.replace(b"/x", b"/none"), GET, b"\x00"],
    ids=["own answers", "not found", "no pod", "lingering"],
)
async def test_requests_without_end(edge: Edge, raw: bytes) -> None:
    edge.use(HEALTH, NOWHERE)
    flood = Flood(raw)
    assert await turns_of_others(edge, flood) > 150
    assert flood.left == 0


async def test_empty_lines_without_end_are_no_request(edge: Edge) -> None:
    await turns_of_others(edge, Flood(b"\r\n", left=50_000))
    assert edge.record.status == 400


async def test_a_body_without_end(edge: Edge) -> None:
    async def dial(endpoint: Endpoint, _: InTime) -> End:
        edge.streams.append(pod)
        return pod

    pod = Sink()
    edge.context.dial = dial
    flood = Flood(
        b"5\r\nhello\r\n", POST.replace(b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n")
    )
    assert await turns_of_others(edge, flood) > 150
    assert (flood.left, edge.record.to_pod, edge.record.close_reason) == (0, 1000, "client_gone")


async def test_an_answer_without_end(edge: Edge) -> None:
    async def dial(endpoint: Endpoint, _: InTime) -> End:
        edge.streams.append(pod)
        return pod

    pod = Flood(b"5\r\nhello\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    edge.context.dial = dial
    assert await turns_of_others(edge, Flood(b"", GET, left=0)) > 150
    assert (pod.left, edge.record.to_client) == (0, 1000)


TINY = b"1\r\nx\r\n" * 1000


async def test_a_body_in_tiny_pieces(edge: Edge) -> None:
    """What comes in one read is work for many turns."""

    async def dial(endpoint: Endpoint, _: InTime) -> End:
        edge.streams.append(pod)
        return pod

    pod = Sink()
    edge.context.dial = dial
    raw = POST.replace(b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n")
    assert await turns_of_others(edge, Flood(TINY, raw, left=10)) > 100
    assert edge.record.to_pod == 10_000


async def test_an_answer_in_tiny_pieces(edge: Edge) -> None:
    async def dial(endpoint: Endpoint, _: InTime) -> End:
        edge.streams.append(pod)
        return pod

    pod = Flood(TINY, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", left=10)
    edge.context.dial = dial
    assert await turns_of_others(edge, Flood(b"", GET, left=0)) > 100
    assert edge.record.to_client == 10_000


async def test_hints_without_end(edge: Edge) -> None:
    async def dial(endpoint: Endpoint, _: InTime) -> End:
        edge.streams.append(pod)
        return pod

    pod = Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    edge.context.dial = dial
    assert await turns_of_others(edge, Flood(b"", b"GET / HTTP/1.0\r\n\r\n", left=0)) > 10
    assert (pod.left, edge.record.status, edge.record.close_reason) == (200 - 17, 502, "bad_answer")


async def test_frames_may_pass_between_the_parts_of_an_exchange(edge: Edge) -> None:
    breaths: list[int] = []
    edge.context.yield_to_relay = lambda: breaths.append(len(edge.streams))
    edge.pods[APP] = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await edge.ask(GET)
    await wait_all_tasks_blocked()
    before, *_, last = breaths
    assert before < last  # before the pod was dialled, and after


class Crowd(Turns):
    """Somebody is always before us."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[Work] = []

    def busy(self, work: Work) -> bool:
        return True

    async def wait(self, work: Work) -> None:
        self.waits.append(work)


@pytest.mark.parametrize(
    ("raw", "work"),
    [
        (GET.replace(b"/x", b"/health"), Work.PROBE),
        (GET.replace(b"/x", b"/health?from=kubelet"), Work.PROBE),
        (GET.replace(b"/x", b"/health", 1)[:-2] + b"A: " + b"a" * 1024 + b"\r\n\r\n", Work.REQUEST),
        (GET, Work.REQUEST),
        (GET[:-2] + b"A: " + b"a" * 4096 + b"\r\n\r\n", Work.LARGE),
        (b"/health\r\n\r\n", Work.REQUEST),
    ],
    ids=["probe", "probe with a query", "odd probe", "request", "large", "no request line"],
)
async def test_a_request_waits_for_its_turn(edge: Edge, raw: bytes, work: Work) -> None:
    turns = edge.context.turns = Crowd()
    edge.use(HEALTH, NOWHERE)
    edge.context.rules = evolve(edge.context.rules, probes=frozenset({b"/health"}))
    await edge.ask(raw)
    await wait_all_tasks_blocked()
    assert turns.waits == [work]
    assert len(edge.told.ended) == 1


async def test_each_part_of_a_body_waits_for_its_turn(edge: Edge) -> None:
    async def dial(endpoint: Endpoint, _: InTime) -> End:
        edge.streams.append(pod)
        return pod

    turns = edge.context.turns = Crowd()
    pod = Sink()
    edge.context.dial = dial
    raw = POST.replace(b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n")
    await turns_of_others(edge, Flood(TINY, raw, left=10))
    assert turns.waits.count(Work.BODY) > 100


async def test_each_part_of_an_answer_waits_for_its_turn(edge: Edge) -> None:
    async def dial(endpoint: Endpoint, _: InTime) -> End:
        edge.streams.append(pod)
        return pod

    turns = edge.context.turns = Crowd()
    pod = Flood(TINY, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", left=10)
    edge.context.dial = dial
    await turns_of_others(edge, Flood(b"", GET, left=0))
    assert turns.waits.count(Work.BODY) > 100
