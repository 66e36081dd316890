"""TLS connections that go to a pod as they are: real sockets of clients, and what the relay gets of them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import trio
from attrs import define, evolve
from trio.testing import MockClock

from splicer.arrival import Arrival
from splicer.errors import ConnectRefused, Side
from splicer.health import OutlierDetection
from splicer.model import Deadlines, Upstream
from splicer.net.stream import TcpStream
from splicer.relay.api import TunnelEnd
from splicer.routing.passthrough import Passthrough, PassthroughTable
from splicer.routing.template import parse_template
from splicer.session.context import Drains
from splicer.session.passthrough import PassthroughConnection
from tests.kit.garbage import counting_garbage
from tests.kit.hellos import in_records, made_hello, server_name
from tests.kit.wire import until
from tests.session.edge import APP, CLIENT, Edge, Spliced, open_edge, upstream
from tests.session.test_outcomes import Told
from tests.session.wire import Peer

_HELLO = in_records(made_hello(server_name(b"a.rtc.example.com")))
_ALERT = bytes((21, 3, 3, 0, 2, 2))


@define
class Room:
    """An edge, a listener for its clients, and what the connections said at their ends."""

    edge: Edge
    listener: socket.socket
    nursery: trio.Nursery
    ended: list[bool]
    left: list[bytes]  # what was in a client's socket when its tunnel began

    def use(self, to: Upstream, **deadlines: float) -> None:
        table = Passthrough(("*.rtc.example.com", "b.example.com"), to, Deadlines(**deadlines))
        self.edge.context.rules = evolve(self.edge.context.rules, passthrough=PassthroughTable([table]))

    def connect(
        self, *parts: bytes, tls: bool = False, over: bool = False, arrival: Arrival | None = None
    ) -> socket.socket:
        client = socket.create_connection(self.listener.getsockname())
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        for part in parts:
            client.send(part)
        stream = TcpStream(sock)
        served = PassthroughConnection(self.edge.context, stream, CLIENT, tls=tls, over=over, arrival=arrival)
        self.nursery.start_soon(self._serve, served, stream)
        client.setblocking(False)
        return client

    async def _serve(self, served: PassthroughConnection, stream: TcpStream) -> None:
        for_us = await served.serve()
        self.ended.append(for_us)
        assert (stream.sock.fileno() < 0) is not for_us
        stream.close()

    async def splice(self, spec: Spliced) -> TunnelEnd:
        self.left.append(spec.client.recv(10_000))
        spec.counts.to_pod = 7
        return TunnelEnd(Side.CLIENT, "eof")


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with open_edge() as edge, trio.open_nursery() as nursery:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            room = Room(edge, listener, nursery, [], [])
            edge.on_splice = room.splice
            room.use(upstream("app"))
            yield room
            nursery.cancel_scope.cancel()


async def _silent(_: Peer) -> None:
    await trio.sleep_forever()


async def test_a_connection_becomes_a_tunnel_and_its_hello_is_left_for_it(room: Room) -> None:
    room.edge.pods[APP] = _silent
    with room.connect(_HELLO, b"early"):
        await until(lambda: bool(room.ended))
    [spec] = room.edge.spliced
    assert (spec.to_client, spec.to_pod, spec.uncounted) == (b"", b"", 0)
    assert room.left == [_HELLO + b"early"]
    [opened], [closed] = room.edge.told.opened, room.edge.told.closed
    assert (opened.route, opened.host, opened.upstream, opened.method) == (
        "*.rtc.example.com", "a.rtc.example.com", "app", None
    )  # fmt: skip
    assert opened.passed_through
    assert (closed.to_pod, closed.closer, closed.close_reason, closed.client) == (7, "client", "eof", CLIENT)
    assert room.ended == [False]


async def test_the_label_chooses_the_pod(room: Room) -> None:
    room.use(Upstream("rtc", parse_template("{label}.test"), 8000))
    room.edge.names.served = {"a.test": (APP,)}
    room.edge.pods[APP] = _silent
    with room.connect(_HELLO):
        await until(lambda: bool(room.ended))
    assert (room.edge.dialled, room.edge.told.opened[0].target) == ([APP], "a.test:8000")


async def test_a_pod_may_get_a_header_first(room: Room) -> None:
    room.use(upstream("app", proxy_protocol="v1"))
    got: list[bytes] = []

    async def pod(pod: Peer) -> None:
        got.append(await pod.until(b"\r\n"))

    room.edge.pods[APP] = pod
    with room.connect(_HELLO, arrival=Arrival("10.0.0.9", 4711, local=("10.0.0.1", 443))):
        await until(lambda: bool(room.ended and got))
    assert got == [f"PROXY TCP4 {CLIENT} 10.0.0.1 4711 443\r\n".encode()]


@pytest.mark.parametrize(
    ("hello", "reason", "alert"),
    [
        (in_records(made_hello(server_name(b"other.example"))), "tls_unknown_name", _ALERT + b"\x70"),
        (in_records(made_hello(server_name(b"*.rtc.example.com"))), "tls_unknown_name", _ALERT + b"\x70"),
        (in_records(made_hello()), "tls_unknown_name", _ALERT + b"\x70"),
        (b"GET / HTTP/1.1\r\n\r\n", "tls_not_tls", None),
        (b"\x16\x03\x01\x40\x01", "tls_malformed", None),
    ],
)
@pytest.mark.parametrize("tls", [False, True])
async def test_what_leads_nowhere_is_refused_or_is_for_the_edges_own_tls(
    room: Room, hello: bytes, reason: str, alert: bytes | None, *, tls: bool
) -> None:
    with room.connect(hello, tls=tls) as client:
        await until(lambda: bool(room.ended))
        assert room.ended == [tls]
        assert [error.reason for _, error in room.edge.told.refused] == ([] if tls else [reason])
        if alert is not None and not tls:
            assert client.recv(100) == alert
            assert client.recv(100) == b""
    assert room.edge.spliced == []


@pytest.mark.parametrize("part", [0, 10])
async def test_who_leaves_before_its_hello_is_whole_is_nobodys(room: Room, part: int) -> None:
    room.connect(_HELLO[:part]).close()
    await until(lambda: bool(room.ended))
    assert (room.ended, room.edge.told.refused, room.edge.told.ended) == ([False], [], [])


@pytest.mark.parametrize("tls", [False, True])
async def test_who_says_nothing_is_closed(room: Room, autojump_clock: MockClock, *, tls: bool) -> None:
    with room.connect(_HELLO[:10], tls=tls):
        await until(lambda: bool(room.ended))
    assert trio.current_time() == pytest.approx(room.edge.context.rules.deadlines.tls, abs=1)
    assert [error.reason for _, error in room.edge.told.refused] == ["tls_deadline"]


async def test_a_pod_that_can_not_be_reached_ends_it_with_an_alert(room: Room) -> None:
    room.edge.pods[APP] = ConnectRefused("10.0.0.1:8000")
    with room.connect(_HELLO) as client:
        await until(lambda: bool(room.ended))
        assert client.recv(100) == _ALERT + b"\x50"
    record = room.edge.record
    assert (record.passed_through, record.close_reason, record.status) == (True, "connect_refused", None)
    assert [attempt.failure for attempt in record.attempts] == ["connect_refused"]


async def test_a_drain_refuses_it(room: Room) -> None:
    room.edge.context.draining = True
    with room.connect(_HELLO):
        await until(lambda: bool(room.ended))
    assert room.edge.record.close_reason == "draining"
    assert room.edge.dialled == []


async def test_a_drained_pod_gets_none(room: Room) -> None:
    room.edge.context.drains = Drains(pods=frozenset({"app.test"}))
    with room.connect(_HELLO):
        await until(lambda: bool(room.ended))
    assert room.edge.record.close_reason == "pod_draining"
    assert room.edge.dialled == []


async def test_at_the_limit_it_is_refused(room: Room) -> None:
    room.edge.context.may_use_pod = lambda: False
    with room.connect(_HELLO, over=True):
        await until(lambda: bool(room.ended))
    assert room.edge.record.close_reason == "too_many_connections"


async def test_a_client_that_leaves_while_its_pod_is_dialled_ends_that(room: Room, autojump_clock: MockClock) -> None:
    room.use(upstream("app"), connect=1000.0, attempts=1000.0)
    room.edge.pods[APP] = None
    client = room.connect(_HELLO)
    await until(lambda: bool(room.edge.dialled))
    client.close()
    await until(lambda: bool(room.ended))
    assert trio.current_time() < 10
    assert room.edge.record.close_reason == "client_gone"


async def test_a_bug_costs_that_connection_alone(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.edge.expect_crash = True
    monkeypatch.setattr("splicer.session.passthrough.render_host", lambda *_: 1 / 0)
    room.edge.pods[APP] = _silent
    with room.connect(_HELLO):
        await until(lambda: bool(room.ended))
    assert [type(error) for _, _, error in room.edge.told.crashes] == [ZeroDivisionError]


async def test_what_is_seen_of_it_counts_for_outlier_detection(room: Room) -> None:
    told = Told()
    room.edge.context.outcomes = told
    room.use(upstream("app", outlier_detection=OutlierDetection()))
    room.edge.pods[APP] = ConnectRefused("no")
    with room.connect(_HELLO):
        await until(lambda: told.words)
    room.edge.pods[APP] = _silent
    with room.connect(_HELLO):
        await until(lambda: len(room.ended) == 2)
    assert told.words == [(APP, "connect_refused"), (APP, "ok")], "the end of a call is nothing"


@pytest.mark.parametrize("end", ["tunnel", "refused", "unknown name", "no tls", "gone", "late"])
async def test_nothing_is_left_for_the_garbage_collector(room: Room, end: str, autojump_clock: MockClock) -> None:
    room.edge.pods[APP] = ConnectRefused("10.0.0.1:8000") if end == "refused" else _silent
    sent = {"unknown name": in_records(made_hello()), "no tls": b"GET", "late": _HELLO[:9], "gone": _HELLO[:9]}.get(end)

    async def one() -> None:
        with room.connect(sent or _HELLO) as client:
            if end == "gone":
                await trio.sleep(1)
                client.close()
            await until(lambda: bool(room.ended))
        room.ended.clear()

    await one()
    with counting_garbage() as garbage:
        for _ in range(3):
            await one()
        assert garbage() == 0
