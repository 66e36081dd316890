"""What one worker writes down of a tunnel, and what the next one makes of it and of the tunnel's sockets."""

from __future__ import annotations

import marshal
import math
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from splicer.arrival import Arrival
from splicer.authorization import AuthorizeOutcome
from splicer.errors import Side
from splicer.model import Endpoint
from splicer.net.options import USER_TIMEOUT_MS
from splicer.net.stream import TcpStream
from splicer.record import AttemptOutcome, Record
from splicer.relay.api import TunnelLimits
from splicer.session import passport
from splicer.session.leg_state import look, taken_by
from splicer.session.passport import Passport
from splicer.trace import RequestTrace
from splicer.vault import protocol
from tests.relay.harness import Pair, Peer, small_tcp_pair, tcp_pair, until

TEXT = st.text(max_size=30)
MAYBE = st.none() | TEXT
SECONDS = st.floats(0, 1e6)
LIMIT = st.floats(0.001, 1e6) | st.just(math.inf)
FOREVER = TunnelLimits(math.inf, math.inf, math.inf)

RECORDS = st.builds(
    Record,
    id=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    client=TEXT,
    started=SECONDS,
    method=MAYBE,
    path=MAYBE,
    query=MAYBE,
    host=MAYBE,
    route=MAYBE,
    request_id=MAYBE,
    upstream=MAYBE,
    target=MAYBE,
    endpoint=st.none() | st.builds(Endpoint, TEXT, TEXT, st.integers(1, 65535)),
    protocol=MAYBE,
    logged=st.booleans(),
    status=st.just(101),
    headers=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    attempts=st.lists(
        st.builds(AttemptOutcome, TEXT, MAYBE, MAYBE, MAYBE, MAYBE, SECONDS, SECONDS, SECONDS, SECONDS), max_size=3
    ),
    arrival=st.none()
    | st.builds(Arrival, TEXT, st.integers(0, 65535), st.booleans(), st.lists(st.tuples(TEXT, TEXT)).map(tuple)),
    authorize=st.none() | st.builds(AuthorizeOutcome, MAYBE, st.none() | st.integers(100, 999), MAYBE, MAYBE, SECONDS),
    trace=st.none() | st.builds(RequestTrace, TEXT, TEXT, st.booleans()),
)


def run(call: Any) -> Any:
    """Call it where Trio's clock runs."""

    async def main() -> Any:
        return call()

    return trio.run(main)


@pytest.fixture
def pairs() -> Iterator[tuple[Pair, Pair]]:
    """Client's and pod's connections, each with the outer end first."""
    pairs = tcp_pair(), tcp_pair()
    yield pairs
    for sock in (*pairs[0], *pairs[1]):
        sock.close()


@pytest.fixture(scope="module")
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    (outer, client), (far, pod) = tcp_pair(), tcp_pair()
    yield client, pod
    for sock in (outer, client, far, pod):
        sock.close()


def write(record: Record, limits: TunnelLimits = FOREVER, head: int = 0) -> bytes:
    (outer, client), (far, pod) = tcp_pair(), tcp_pair()
    with outer, client, far, pod:
        return passport.write(record, limits, head, TcpStream(client), TcpStream(pod))


def taken(sock: socket.socket) -> int:
    assert taken_by(TcpStream(sock)) == look(TcpStream(sock)).taken
    return taken_by(TcpStream(sock)) or 0


def silence(sock: socket.socket) -> float:
    return look(TcpStream(sock)).silent or 0.0


# ---- writing and reading ----


@given(record=RECORDS, limits=st.builds(TunnelLimits, LIMIT, LIMIT, LIMIT), head=st.integers(0, 40_000))
def test_a_record_goes_on_as_it_was(
    sockets: tuple[socket.socket, socket.socket], record: Record, limits: TunnelLimits, head: int
) -> None:
    client, pod = map(TcpStream, sockets)
    past, now = run(lambda: (passport.read(passport.write(record, limits, head, client, pod), 3), trio.current_time()))
    # Another process has another clock of Trio's; here it is the same.
    assert past.record.started == pytest.approx(record.started, abs=1e-2)
    begun = [attempt.started for attempt in past.record.attempts]
    assert begun == pytest.approx([attempt.started for attempt in record.attempts], abs=1e-2)
    attempts = [evolve(attempt, started=at) for attempt, at in zip(record.attempts, begun, strict=True)]
    trace = past.record.trace
    if trace is not None and record.trace is not None:
        assert trace.opened == pytest.approx(now, abs=60), "the call's span begins with the 101"
        trace.opened = record.trace.opened
    assert past.record == evolve(record, started=past.record.started, adopted=3, attempts=attempts)
    assert (past.limits, past.head, past.client, past.pod) == (limits, head, 0, 0)
    assert time.monotonic() - past.opened < 60


def test_a_passport_fits_into_a_message_of_the_vaults_whatever_the_client_has_sent() -> None:
    worst = Record(
        id="f" * 16,
        client="f" * 32_000,
        started=0.0,
        method="GET",
        path='/"' * 16_000,
        query='"\\' * 16_000,
        host="h" * 32_000,
        route="r" * 200,
        request_id="i" * 32_000,
        upstream="u" * 200,
        target='"' * 32_000,
        endpoint=Endpoint("p" * 255, "f" * 45, 65535),
        protocol="w" * 32_000,
        attempts=[AttemptOutcome("u" * 200, "f" * 50, "connect_refused", '"' * 32_000)] * 12,
        authorize=AuthorizeOutcome("f" * 50, 503, "authorize_failed", '"' * 32_000),
        headers=tuple((f"header_{number}" + "x" * 63, "\U0001f600" * 257) for number in range(8)),
    )
    data = run(lambda: write(worst))
    assert len(protocol.pack(protocol.Kind.TUNNEL, 2, data)) <= protocol.LONGEST
    record = run(lambda: passport.read(data, 0)).record
    assert worst.path is not None
    assert worst.path.startswith(record.path)
    assert len(record.path) == 1024


def test_what_an_earlier_version_did_not_write_takes_its_default() -> None:
    least = {"id": "ab", "client": "c", "started": 1.0, "limits": [1, 2, 3], "head": 5, "opened": 2.0, "taken": [7, 8]}
    past = run(lambda: passport.read(marshal.dumps(least, 2), 1))
    started = past.record.started
    assert past.record == Record(id="ab", client="c", started=started, status=101, adopted=1)
    assert past == Passport(past.record, TunnelLimits(1, 2, 3), 5, 2.0, 7, 8)


def test_what_a_later_version_has_written_besides_is_left_alone() -> None:
    data = marshal.loads(run(lambda: write(Record(id="ab", client="c", started=0.0))))
    assert run(lambda: passport.read(marshal.dumps(data | {"mood": "good"}, 2), 0)).record.id == "ab"


NO_PASSPORT = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b"7",
    b'{"id": "ab"}',
    b'{"id": "ab", "client": "c", "started": 1, "limits": [1, 2], "head": 0, "opened": 0, "taken": [0, 0]}',
    b'{"id": "ab", "client": "c", "started": 1, "limits": [1, 2, 3], "head": 0, "opened": 0, "taken": [0]}',
    b'{"id": "ab", "client": "c", "started": "x", "limits": [1, 2, 3], "head": 0, "opened": 0, "taken": [0, 0]}',
    b'{"id": "ab", "client": "c", "started": 1, "limits": [1, 2, 3], "head": 0, "opened": 0, "taken": 5}',
]


@pytest.mark.parametrize("data", NO_PASSPORT)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        run(lambda: passport.read(data, 0))


@given(st.binary(max_size=60))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(ValueError):
        run(lambda: passport.read(data, 0))


# ---- what the kernel knows ----


async def _write_all(sock: socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        await trio.lowlevel.wait_writable(sock)
        view = view[sock.send(view) :]


async def _read_all(sock: socket.socket, count: int) -> None:
    while count:
        await trio.lowlevel.wait_readable(sock)
        count -= len(sock.recv(count))


@pytest.mark.parametrize("opened_by", ["us", "them"])
async def test_the_kernels_count_is_exact(opened_by: str) -> None:
    """Of one connection a SYN was ours, of the other it was not: the difference to its start is what counts."""
    pair = small_tcp_pair()
    ours, theirs = pair if opened_by == "us" else pair[::-1]
    start = taken(ours)
    for sent, size in ((1, 1), (161, 160), (50_161, 50_000)):
        await _write_all(ours, bytes(size))
        assert taken(ours) - start == sent  # on its way, or there
        await _read_all(theirs, size)
        await until(lambda: not Peer(ours).unacknowledged())
        assert taken(ours) - start == sent
    parked = Peer(ours).offer(bytes(10_000_000))
    assert taken(ours) - start == 50_161 + parked
    await _write_all(theirs, b"their own bytes do not count")
    ours.shutdown(socket.SHUT_WR)
    assert taken(ours) - start == 50_161 + parked
    await _read_all(theirs, parked)
    await until(lambda: not Peer(ours).unacknowledged())
    assert taken(ours) - start == 50_161 + parked
    for sock in pair:
        sock.close()


async def test_the_time_since_data_moved(pairs: tuple[Pair, Pair]) -> None:
    outer, inner = pairs[0]
    await _write_all(inner, b"out")
    await trio.sleep(0.3)
    silent = silence(inner)
    assert silent >= 0.25
    await _write_all(outer, b"in")
    await trio.lowlevel.wait_readable(inner)
    assert silence(inner) < silent


def _passport(client: socket.socket, pod: socket.socket) -> Passport:
    record = Record(id="ab", client="c", started=trio.current_time())
    return passport.read(passport.write(record, FOREVER, 0, TcpStream(client), TcpStream(pod)), 1)


async def test_a_tunnels_counts_begin_with_its_registration(pairs: tuple[Pair, Pair]) -> None:
    (_, client), (_, pod) = pairs
    await _write_all(client, b"HTTP/1.1 100 Continue\r\n\r\n")
    await _write_all(pod, b"GET / HTTP/1.1\r\n\r\n")
    past = _passport(client, pod)
    now = past.past(TcpStream(client), TcpStream(pod), {})
    assert (now.to_pod, now.to_client, now.broken, now.pipes) == (0, 0, None, (None, None))
    await _write_all(client, b"c" * 1000)
    await _write_all(pod, b"p" * 70)
    now = past.past(TcpStream(client), TcpStream(pod), {1: 44})
    assert (now.to_pod, now.to_client, now.pipes, now.patience) == (70, 1000, (None, 44), USER_TIMEOUT_MS)
    assert now.age < 60
    assert past.past(TcpStream(client), TcpStream(pod), {0: 33, 1: 44}).pipes == (33, 44)


@pytest.mark.parametrize("ends", [("client",), ("pod",), ("client", "pod"), ("pod", "client")])
async def test_counts_and_ends_of_half_closed_tunnels(pairs: tuple[Pair, Pair], ends: tuple[str, ...]) -> None:
    """An end of stream is a byte to the kernel; as in the hub, one leg's is passed on to the other."""
    (caller, client), (agent, pod) = pairs
    past = _passport(client, pod)
    await _write_all(client, b"c" * 1000)
    await _write_all(pod, b"p" * 70)
    for end in ends:
        outer, inner, other = (caller, client, pod) if end == "client" else (agent, pod, client)
        outer.shutdown(socket.SHUT_WR)
        await trio.lowlevel.wait_readable(inner)
        assert inner.recv(1) == b""
        other.shutdown(socket.SHUT_WR)
        for _ in range(3):
            now = past.past(TcpStream(client), TcpStream(pod), {})
            assert (now.to_pod, now.to_client, now.broken) == (70, 1000, None)
            await until(lambda other=other: not Peer(other).unacknowledged())  # type: ignore[misc]  # a loop's variable


@pytest.mark.parametrize("side", [Side.CLIENT, Side.POD])
@pytest.mark.parametrize("told", [False, True])
async def test_a_reset_leg_is_recognised_though_another_worker_was_told(
    pairs: tuple[Pair, Pair], side: Side, told: bool
) -> None:
    (caller, client), (agent, pod) = pairs
    past = _passport(client, pod)
    await _write_all(client, b"c" * 1000)
    await _write_all(pod, b"p" * 70)
    outer, inner = (caller, client) if side is Side.CLIENT else (agent, pod)
    await until(lambda: not Peer(inner).unacknowledged())
    Peer(outer).reset()
    await trio.lowlevel.wait_readable(inner)
    if told:
        with pytest.raises(ConnectionResetError):
            inner.recv(1)
    now = past.past(TcpStream(client), TcpStream(pod), {})
    assert (now.to_pod, now.to_client, now.broken) == (70, 1000, side)


# It had sent its end of stream, which was passed on: a reset after that is passed on as an end (relay/hub.py).
@pytest.mark.parametrize("side", [Side.CLIENT, Side.POD])
async def test_a_leg_that_was_reset_after_its_end_of_stream_is_not_broken(pairs: tuple[Pair, Pair], side: Side) -> None:
    (caller, client), (agent, pod) = pairs
    past = _passport(client, pod)
    outer, inner, other = (caller, client, pod) if side is Side.CLIENT else (agent, pod, client)
    outer.shutdown(socket.SHUT_WR)
    await trio.lowlevel.wait_readable(inner)
    assert inner.recv(1) == b""
    other.shutdown(socket.SHUT_WR)
    Peer(outer).reset()
    await until(lambda: look(TcpStream(inner)).lost)
    now = past.past(TcpStream(client), TcpStream(pod), {})
    assert now.broken is None
