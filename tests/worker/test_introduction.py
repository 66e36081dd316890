"""Connections with a PROXY header: it is taken exactly, whoever sends it and however it comes. Real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from ipaddress import ip_network

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.arrival import Arrival
from splicer.config.addresses import ListenAddress
from splicer.config.listener import EVERYBODY, Listener
from splicer.config.schema import Limits
from splicer.model import Deadlines
from splicer.proxyproto import v1, v2
from splicer.session.context import ConnectionState
from splicer.session.idle import IdleClients, IdleConnection
from splicer.worker import acceptor
from tests.kit.descriptors import none_left_open
from tests.kit.garbage import counting_garbage
from tests.kit.wire import until
from tests.worker.accepting import BUFFER, Owner, Served

_REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_CLIENT, _SERVER = ("192.0.2.7", 4711), ("10.0.0.1", 443)
_V1, _V2 = v1.encode(_CLIENT, _SERVER), v2.encode(_CLIENT, _SERVER, ((0x05, b"abc"),))
_HERE = Listener(ListenAddress("127.0.0.1", 0), EVERYBODY)


class Introduced(Owner):
    """A worker that accepts where headers are due."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.idle = IdleClients()
        super().__init__(nursery, self.idle)

    def listen(self, rule: Listener = _HERE) -> None:
        self.acceptor.listen([self.listener], BUFFER, [rule])

    async def send(self, *parts: bytes) -> socket.socket:
        """A new connection that sends these parts one after another, each when the one before it was read."""
        [client] = await self.connect()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            client.send(part)
            await wait_all_tasks_blocked(0.001)
        return client

    async def served_one(self, count: int = len(_REQUEST)) -> tuple[str, Arrival | None, bytes]:
        """The only connection that was served, and so many bytes that were left for it."""
        await until(lambda: bool(self.served))
        [connection] = self.served
        left = b""
        while len(left) < count:
            left += await connection.stream.receive_some(count - len(left))
        return connection.peer, connection.arrival, left + (connection.stream.receive_now(1) or b"")


@pytest.fixture
async def owner(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Introduced]:
    monkeypatch.setattr(acceptor, "Connection", Served)
    with none_left_open():
        owner = Introduced(nursery)
        yield owner
        owner.close()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("header", "facts"), [(_V1, ()), (_V2, (("proxy_id", "abc"),))], ids=["version 1", "version 2"]
)
async def test_the_client_is_who_the_header_names(
    owner: Introduced, header: bytes, facts: tuple[tuple[str, str], ...]
) -> None:
    owner.listen()
    await owner.send(header + _REQUEST)
    assert await owner.served_one() == ("192.0.2.7", Arrival("127.0.0.1", 4711, facts=facts), _REQUEST)
    assert (owner.counts.accepted, owner.counts.handled, owner.counts.active) == (1, 1, 0)


@pytest.mark.parametrize("header", [_V1, _V2], ids=["version 1", "version 2"])
async def test_a_header_is_taken_exactly_wherever_it_is_split(owner: Introduced, header: bytes) -> None:
    owner.listen()
    for place in range(1, len(header)):
        await owner.send(header[:place], header[place:] + _REQUEST)
        assert (await owner.served_one())[0::2] == ("192.0.2.7", _REQUEST), place
        owner.served.pop().stream.close()
    await owner.send(*(bytes([byte]) for byte in header + _REQUEST))
    assert (await owner.served_one())[0::2] == ("192.0.2.7", _REQUEST)
    assert owner.counts.active == 0


async def test_a_long_header_is_read_in_parts(owner: Introduced) -> None:
    owner.listen()
    header = v2.encode(_CLIENT, _SERVER, ((0xEE, bytes(8000)),))
    await owner.send(header + _REQUEST)
    assert await owner.served_one() == ("192.0.2.7", Arrival("127.0.0.1", 4711), _REQUEST)


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2.encode(None, None)], ids=["UNKNOWN", "LOCAL"])
async def test_a_balancers_own_connection_is_its_own(owner: Introduced, header: bytes) -> None:
    owner.listen()
    await owner.send(header + _REQUEST)
    assert await owner.served_one() == ("127.0.0.1", None, _REQUEST)


async def test_who_is_not_among_the_balancers_is_an_ordinary_client(owner: Introduced) -> None:
    owner.listen(evolve(_HERE, proxy_protocol=(ip_network("10.0.0.0/8"), ip_network("::1/128"))))
    await owner.send(_V1 + _REQUEST)
    assert await owner.served_one(len(_V1 + _REQUEST)) == ("127.0.0.1", None, _V1 + _REQUEST), "which is no request"


async def test_who_is_among_them_must_send_a_header(owner: Introduced) -> None:
    owner.listen(evolve(_HERE, proxy_protocol=(ip_network("127.0.0.0/8"),)))
    client = await owner.send(_REQUEST)
    await until(lambda: bool(owner.refused))
    assert owner.served == []
    assert owner.refused == ["127.0.0.1 HeaderMissing"]
    with suppress(ConnectionResetError):
        assert client.recv(1) == b""


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([b"PROXY TCP4 1 2 3 4\r\n"], "HeaderMalformed"),
        ([b"PROXY UNKNOWN" + b" " * 100], "HeaderTooLong"),
        ([_V2[:14], b"\xff\xff"], "HeaderTooLong"),
        ([v2.encode(_CLIENT, _SERVER, ((0x03, b"abcd"),))], "HeaderChecksum"),
        ([v2.encode(_CLIENT, _SERVER, ((0x05, bytes(129)),))], "HeaderMalformed"),
        ([b"PROXY ", b"TCP4 1\r\n"], "HeaderMalformed"),
        ([b"PRO", b"MPT"], "HeaderMissing"),
    ],
)
async def test_faults_close_it_without_a_word(owner: Introduced, parts: list[bytes], error: str) -> None:
    owner.listen()
    client = await owner.send(*parts)
    await until(lambda: bool(owner.refused))
    assert (owner.refused, owner.served, owner.empty) == ([f"127.0.0.1 {error}"], [], [])
    assert owner.counts.active == 0
    with suppress(ConnectionResetError):  # bytes were left unread
        assert client.recv(10) == b""


@pytest.mark.parametrize("header", [b"", b"PROXY TCP4", _V2[:20]])
async def test_one_that_is_closed_is_a_health_check_unless_a_header_has_begun(owner: Introduced, header: bytes) -> None:
    owner.listen()
    client = await owner.send(*([header] if header else []))
    await until(lambda: owner.counts.reading == 1)
    client.close()
    await until(lambda: bool(owner.refused or owner.empty))
    assert (owner.refused, owner.empty) == ((["127.0.0.1 HeaderMalformed"], []) if header else ([], ["127.0.0.1"]))
    assert owner.counts.active == 0


@pytest.mark.parametrize("header", [b"", b"PROXY TCP4", _V2[:20]])
async def test_a_header_has_the_time_of_a_head(owner: Introduced, header: bytes, autojump_clock: MockClock) -> None:
    owner.rules.deadlines = Deadlines(head=5.0)
    owner.listen()
    client = await owner.send(*([header] if header else []))
    started = trio.current_time()
    await until(lambda: owner.counts.active == 1)
    await until(lambda: not owner.counts.active)
    assert 4.8 < trio.current_time() - started < 6.2
    assert (owner.refused, owner.empty) == ((["127.0.0.1 HeaderMalformed"], []) if header else ([], ["127.0.0.1"]))
    assert client.recv(1) == b""


# An NLB sends its header with the client's first byte, so browsers that connect ahead look like this.
async def test_one_that_sends_nothing_is_idle_and_makes_room(owner: Introduced, autojump_clock: MockClock) -> None:
    owner.listen()
    await owner.send()
    await trio.sleep(1.5)
    assert (len(owner.idle), owner.counts.waiting) == (1, 1)
    assert owner.idle.make_room()
    await trio.sleep(0.1)
    assert (owner.counts.active, owner.empty) == (0, ["127.0.0.1"])


async def test_one_whose_header_has_begun_is_not_idle(owner: Introduced, autojump_clock: MockClock) -> None:
    owner.listen()
    client = await owner.send(_V2[:20])
    await trio.sleep(1.5)
    assert (len(owner.idle), owner.counts.reading) == (0, 1)
    assert not owner.idle.make_room()
    client.send(_V2[20:] + _REQUEST)
    assert (await owner.served_one())[0::2] == ("192.0.2.7", _REQUEST)


async def test_one_that_was_idle_is_served_when_its_header_comes(owner: Introduced, autojump_clock: MockClock) -> None:
    owner.listen()
    client = await owner.send()
    await trio.sleep(1.5)
    client.send(_V2 + _REQUEST)
    assert (await owner.served_one())[0::2] == ("192.0.2.7", _REQUEST)
    assert owner.counts.active == 0


async def test_an_heir_gets_it_and_reads_its_header(owner: Introduced, autojump_clock: MockClock) -> None:
    passed: list[IdleConnection] = []

    async def heir(one: IdleConnection) -> bool:
        passed.append(one)
        await trio.lowlevel.checkpoint()
        copy = one.stream.sock.dup()
        one.stream.abandon()
        copy.setblocking(False)
        owner.idle = IdleClients()
        owner.context.idle = owner.idle
        owner.acceptor.inherit(copy, one.peer, one.arrival, one.awaited)
        return True

    owner.listen()
    client = await owner.send()
    await trio.sleep(1.5)
    await owner.idle.end_within(1.0, heir)
    await trio.sleep(0.1)
    assert [one.awaited for one in passed] == ["127.0.0.1:0"]
    assert (owner.counts.waiting, owner.counts.active, owner.empty) == (1, 1, [])
    client.send(_V1 + _REQUEST)
    assert (await owner.served_one())[0::2] == ("192.0.2.7", _REQUEST)
    assert owner.counts.active == 0


async def test_at_the_limit_one_without_a_header_is_closed(owner: Introduced) -> None:
    owner.listen()
    owner.room = False
    client = await owner.send()
    await until(lambda: bool(owner.refused))
    assert owner.refused == ["127.0.0.1 TooManyConnections"]
    assert client.recv(1) == b""
    await owner.send(_V1 + _REQUEST)
    assert owner.refused[1:] in ([], ["192.0.2.7 TooManyConnections"], ["127.0.0.1 TooManyConnections"])
    assert owner.served == []


async def test_connections_are_counted_at_the_client_and_not_at_the_balancer(owner: Introduced) -> None:
    owner.rules.limits = Limits(connections_per_client=1)
    owner.listen()
    for number in (1, 2, 1):
        await owner.send(v1.encode((f"192.0.2.{number}", 1), _SERVER) + _REQUEST)
    await until(lambda: bool(owner.refused))
    assert (owner.counts.handled, len(owner.counted)) == (2, 2)
    assert owner.refused == ["192.0.2.1 TooManyFromClient"]


async def test_one_that_another_worker_served_keeps_how_it_came(owner: Introduced) -> None:
    ours, theirs = socket.socketpair()
    owner.clients.append(ours)
    owner.acceptor.inherit(theirs, "192.0.2.7", Arrival("10.0.0.9", 1))
    [connection] = owner.served
    assert (connection.place, connection.arrival) == (ConnectionState.WAITING, Arrival("10.0.0.9", 1))


@pytest.mark.parametrize("first", [b"PROXY ", b""])
async def test_a_bug_costs_that_connection_alone(
    owner: Introduced, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    def fail(_: object) -> Callable[[], None]:
        raise ZeroDivisionError

    owner.listen()
    client = await owner.send(*[first] * bool(first))
    await until(lambda: owner.counts.active == 1)
    monkeypatch.setattr("splicer.worker.introduction.decode", fail)
    client.send(b"PROXY " if not first else b"T")
    await until(lambda: bool(owner.crashes))
    assert [type(error) for error in owner.crashes] == [ZeroDivisionError]
    assert (owner.counts.active, client.recv(1)) == (0, b"")


async def test_a_bug_at_once_does_not_end_the_accept_loop(owner: Introduced, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    owner.listen()
    with monkeypatch.context() as patch:
        patch.setattr("splicer.worker.introduction.arrival", fail)
        await owner.send(_V1)
        await until(lambda: bool(owner.crashes))
    await owner.send(_V1 + _REQUEST)
    assert (await owner.served_one())[0::2] == ("192.0.2.7", _REQUEST)


@pytest.mark.parametrize("sent", [_V1, _REQUEST, b"PROXY ", b""], ids=["header", "none", "a part", "nothing"])
async def test_nothing_is_left_for_the_garbage_collector(owner: Introduced, sent: bytes) -> None:
    async def one() -> None:
        client = await owner.send(*[sent] * bool(sent))
        client.close()
        await until(lambda: bool(owner.served or owner.refused or owner.empty))
        for served in owner.served:
            served.stream.close()
        for said in (owner.served, owner.refused, owner.empty, owner.clients):
            said.clear()

    owner.listen()
    await one()
    with counting_garbage() as garbage:
        for _ in range(3):
            await one()
        assert garbage() == 0
