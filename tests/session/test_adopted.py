"""Tunnels on real sockets, with a vault beside them: what it is told and when, and how another worker goes on."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.model import Endpoint
from splicer.net.stream import TcpStream
from splicer.record import Record
from splicer.relay.api import TunnelLimits
from splicer.relay.hub import Hub
from splicer.session import passport
from splicer.session.client import ClientLeg
from splicer.session.context import Ruleset, SessionContext
from splicer.session.tunnel import OpenTunnel, run_adopted, run_tunnel
from splicer.upstream.balance import Balancer
from splicer.upstream.pool import IdlePool
from tests.kit.descriptors import none_left_open
from tests.relay.harness import Peer, tcp_pair
from tests.session.edge import Told

LIMITS = TunnelLimits(60.0, 30.0, 3600.0)
POD = Endpoint("agent-7", "10.0.0.7", 8000)
HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@define
class Vault:
    """What it was told, and how things stood then."""

    client: socket.socket
    pod: socket.socket
    seen: list[Peer]
    passports: list[bytes] = field(factory=list)
    keys: list[int] = field(factory=list)
    released: list[tuple[int, int, int]] = field(factory=list)
    untouched: list[bool] = field(factory=list)
    connected: bool = True
    stalled: bool = False

    async def register(self, key: int, passport: bytes, client: socket.socket, pod: socket.socket) -> None:
        assert (client, pod) == (self.client, self.pod)
        self.keys.append(key)
        self.passports.append(passport)
        await wait_all_tasks_blocked()
        self.untouched.extend(peer.is_quiet() for peer in self.seen)

    def release(self, key: int, *, soon: bool, then: Callable[[], None], after: Callable[[], None]) -> None:
        self.released.append((key, self.client.fileno(), self.pod.fileno()))
        then()
        after()


@define
class Room:
    """One tunnel's ends, and all that a session needs around it."""

    context: SessionContext
    vault: Vault
    told: Told
    client: TcpStream
    pod: TcpStream
    caller: Peer
    agent: Peer
    nursery: trio.Nursery
    hub: Hub
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    def open(self, record: Record, to_client: bytes = b"", to_pod: bytes = b"") -> None:
        hold = self.context.balancer.hold(POD)
        hold.__enter__()
        tunnel = OpenTunnel(self.pod, LIMITS, HEAD, to_client, to_pod, record, hold)
        self._start(run_tunnel, self.context, ClientLeg(self.client, "192.0.2.7"), tunnel)

    def adopt(self, past: passport.Passport, pipes: dict[int, int] | None = None) -> None:
        self._start(run_adopted, self.context, past, self.client, self.pod, pipes or {})

    def _start(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        async def stoppable() -> None:
            with self.scope:
                await task(*arguments)

        self.nursery.start_soon(stoppable)

    def hang_up(self) -> None:
        self.caller.close()
        self.agent.close()

    async def over(self) -> Record:
        with trio.fail_after(10):
            while not self.told.closed:  # noqa: ASYNC110  # an event would have to be set by what is tested
                await trio.sleep(0.001)
        await wait_all_tasks_blocked()
        [record] = self.told.closed
        return record


def _record() -> Record:
    return Record(
        id="0123456789abcdef",
        client="192.0.2.7",
        started=trio.current_time() - 1.5,
        method="GET",
        path="/ws/x",
        route="calls",
        endpoint=POD,
        protocol="websocket",
        status=101,
    )


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    with none_left_open():
        (caller, client), (agent, pod) = tcp_pair(), tcp_pair()
        hub, told = Hub(), Told()
        vault = Vault(client, pod, [Peer(caller), Peer(agent)])
        context = SessionContext(
            rules=cast("Ruleset", None),
            dial=cast("Any", None),
            pool=IdlePool(),
            balancer=Balancer(),
            splice=hub.splice,
            observer=told,
            vault=vault,
        )
        with hub.opened():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hub.run)
                room = Room(
                    context, vault, told, TcpStream(client), TcpStream(pod), Peer(caller), Peer(agent), nursery, hub
                )
                yield room
                nursery.cancel_scope.cancel()
        room.hang_up()
        assert (hub.tunnels, hub.pipes.in_use, context.counts.writing) == (0, 0, 0)
        assert len(context.balancer.loads) == 0
        assert client.fileno() == pod.fileno() == -1


# ---- what the vault is told of a new tunnel ----


async def test_the_vault_knows_a_tunnel_before_either_side_sees_a_byte(room: Room) -> None:
    record = _record()
    room.open(record, b"first", b"early")
    assert await room.caller.read(len(HEAD) + 5) == HEAD + b"first"
    assert await room.agent.read(5) == b"early"
    assert room.vault.untouched == [True, True]
    [key] = room.vault.keys
    assert (key, key % 2) == (0x0123456789ABCDEE, 0), "the lowest bit is a direction's"
    [data] = room.vault.passports
    past = passport.read(data, 0)
    assert evolve(past.record, started=record.started) == _plain(record)
    assert (past.limits, past.head) == (LIMITS, len(HEAD))


def _plain(record: Record) -> Record:
    return evolve(record, closer=None, close_reason=None, to_pod=0, to_client=0)


# No reset goes out before the last descriptor is closed.
async def test_a_peer_hears_of_a_reset_though_the_vault_holds_on_to_the_connection(room: Room) -> None:
    room.open(_record())
    await room.caller.read(len(HEAD))
    held = os.dup(room.pod.sock.fileno())
    room.vault.stalled = True
    room.caller.reset()
    assert (await room.agent.read_to_end())[1] == "eof"
    os.close(held)
    assert (await room.over()).close_reason == "reset"


@pytest.mark.parametrize("how", ["eof", "reset", "cancelled"])
async def test_it_is_released_after_both_sockets_are_closed(room: Room, how: str) -> None:
    room.open(_record())
    await room.caller.read(len(HEAD))
    assert room.vault.released == []
    if how == "eof":
        room.hang_up()
    elif how == "reset":
        room.caller.reset()
    else:
        room.scope.cancel()
    closed = await room.over()
    assert room.vault.released == [(room.vault.keys[0], -1, -1)]
    assert (closed.adopted, closed.close_reason) == (0, {"cancelled": "shutdown"}.get(how, how))


async def test_without_a_vault_all_goes_on(room: Room) -> None:
    room.context.vault = None
    room.open(_record(), b"first")
    assert await room.caller.read(len(HEAD) + 5) == HEAD + b"first"
    room.hang_up()
    await room.over()
    assert (room.vault.keys, room.vault.released) == ([], [])


# ---- another worker's ----


def _past(room: Room, adoptions: int = 1, head: int = len(HEAD)) -> passport.Passport:
    data = passport.write(_record(), LIMITS, head, room.client, room.pod)
    return passport.read(data, adoptions)


def _pipe(data: bytes) -> int:
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.write(write_fd, data)
    os.close(write_fd)
    return read_fd


async def test_the_next_worker_goes_on_and_the_close_line_says_all(room: Room) -> None:
    past = _past(room, adoptions=2)
    room.client.sock.send(HEAD + b"sent before")
    room.pod.sock.send(b"and this")
    await room.caller.send(b" up")
    room.adopt(past, {0: _pipe(b" left"), 1: _pipe(b" over")})
    assert await room.agent.read(16) == b"and this left up"
    assert await room.caller.read(len(HEAD) + 16) == HEAD + b"sent before over"
    assert room.context.counts.writing == 1
    assert (len(room.context.balancer.loads), room.context.balancer.live(POD)) == (1, 1)
    await room.agent.send(b" and on")
    assert await room.caller.read(7) == b" and on"
    room.agent.half_close()
    room.caller.half_close()
    closed = await room.over()
    assert (closed.to_pod, closed.to_client, closed.adopted) == (16, 23, 2)
    assert (closed.closer, closed.close_reason, closed.status) == (Side.POD, "eof", 101)
    assert (closed.id, closed.route, closed.endpoint, closed.path) == ("0123456789abcdef", "calls", POD, "/ws/x")
    assert trio.current_time() - closed.started >= 1.5
    assert room.told.opened == [], "it was opened long ago"
    assert room.vault.keys == [], "the vault knows it"
    assert room.vault.released == [(0x0123456789ABCDEE, -1, -1)]


async def test_a_101_that_was_on_its_way_is_not_counted_as_the_clients_bytes(room: Room) -> None:
    past = _past(room)
    room.client.sock.send(HEAD[:20])
    room.adopt(past, {1: _pipe(HEAD[20:] + b"first")})
    assert await room.caller.read(len(HEAD) + 5) == HEAD + b"first"
    room.hang_up()
    assert (await room.over()).to_client == 5


async def test_a_reset_that_only_the_dead_worker_was_told_of_is_passed_on(room: Room) -> None:
    past = _past(room)
    room.caller.reset()
    await trio.lowlevel.wait_readable(room.client.sock)
    with pytest.raises(ConnectionResetError):
        room.client.sock.recv(1)
    room.adopt(past)
    assert (await room.agent.read_to_end())[1] == "reset"
    closed = await room.over()
    assert (closed.closer, closed.close_reason) == (Side.CLIENT, "reset")


async def test_its_deadlines_go_on(room: Room) -> None:
    past = evolve(_past(room), opened=_past(room).opened - 3599.7)
    room.adopt(past)
    closed = await room.over()
    assert (closed.closer, closed.close_reason) == (Side.PROXY, "lifetime")


async def test_stopping_ends_it(room: Room) -> None:
    room.adopt(_past(room))
    await wait_all_tasks_blocked()
    room.scope.cancel()
    closed = await room.over()
    assert (closed.closer, closed.close_reason) == (Side.PROXY, "shutdown")


@pytest.mark.parametrize("where", ["splice", "past"])
async def test_a_bug_ends_it_alone_and_is_told(room: Room, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    past = _past(room)
    if where == "past":
        monkeypatch.setattr(passport, "look", crash)
    else:
        room.context.splice = cast("Any", crash)
    room.adopt(past)
    closed = await room.over()
    assert (closed.closer, closed.close_reason) == (Side.PROXY, "crash")
    [(client, record, error)] = room.told.crashes
    assert (client, type(error)) == ("192.0.2.7", ZeroDivisionError)
    assert record is past.record
    assert room.vault.released == [(0x0123456789ABCDEE, -1, -1)]
    assert (await room.caller.read_to_end())[0] == b""


async def test_a_tunnel_without_an_endpoint_is_held_by_nobody(room: Room) -> None:
    past = _past(room)
    past.record.endpoint = None
    room.adopt(past)
    await room.caller.send(b"hello")
    assert await room.agent.read(5) == b"hello"
    assert len(room.context.balancer.loads) == 0
    room.hang_up()
    await room.over()


@pytest.mark.parametrize(("crashes", "plain"), [(0, False), (1, False), (2, True), (3, True)])
async def test_a_call_that_has_seen_two_crashes_is_moved_by_python(room: Room, crashes: int, plain: bool) -> None:
    data = passport.write(_record(), LIMITS, len(HEAD), room.client, room.pod)
    room.adopt(passport.read(data, adoptions=crashes, crashes=crashes))
    await room.caller.send(b"frame")
    assert await room.agent.read(5) == b"frame"
    [tunnel] = room.hub._tunnels.values()
    assert [leg.plain for leg in (tunnel.client, tunnel.pod)] == [plain, plain]
    room.hang_up()
    await room.over()
