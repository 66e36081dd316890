"""The worker's side of its private channel: all rows, in packets that fit, and nobody waits for a reader."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.errors import ConfigError
from splicer.ipc import wire
from splicer.ipc.message import understand
from splicer.ipc.queries import (
    AskCounts,
    AskEndpoints,
    AskTunnels,
    ClosedRow,
    CloseTunnel,
    CountRow,
    Question,
    Rows,
    UnknownQuestion,
)
from splicer.ipc.query import Answers, RowBatches, answer_queries
from splicer.model import AttemptOutcome, Endpoint
from splicer.net.resolve import Resolver
from splicer.observe import endpoint_rows, tunnel_rows
from splicer.upstream.source import NameSource
from splicer.upstream.status import EndpointStates
from splicer.vault.protocol import channel
from tests.kit.descriptors import none_left_open
from tests.observe.still import StillRelay, record, still

_MAX_BYTES = 64 * 1024  # bytes of a packet (ipc.wire)
Answer = Callable[[Any], RowBatches]
_MANY = 2000  # batches: more than a channel holds


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    with none_left_open():
        yield


class Asker:
    """The admin process's end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sizes: list[int] = []

    def ask(self, what: type[Question[Any]] = CloseTunnel, number: int = 1) -> None:
        wire.send(self.sock, CloseTunnel(number, "a") if what is CloseTunnel else what(number))

    async def packet(self) -> Rows[Any] | None:
        """One packet, whatever its length; None: it is the end."""
        with trio.fail_after(20):
            await trio.lowlevel.wait_readable(self.sock)
        data = self.sock.recv(1 << 22)
        self.sizes.append(len(data))
        return understand(Rows, json.loads(data)) if data else None

    async def answer(self) -> tuple[int, list[Any]]:
        """A whole one: its number, and the rows."""
        rows: list[Any] = []
        while True:
            packet = await self.packet()
            assert packet is not None
            rows += packet.rows
            if not packet.more:
                return packet.request, rows

    def hears_nothing(self) -> bool:
        try:
            self.sock.recv(1 << 22, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False


def failed(error: Exception) -> None:
    """No answer here has a bug."""
    raise error


class Answering:
    """Whether it still answers."""

    def __init__(self) -> None:
        self._over = trio.Event()

    async def run(self, sock: socket.socket, answers: Answers) -> None:
        await answer_queries(sock, answers, failed)
        assert sock.fileno() == -1
        self._over.set()

    async def over(self) -> None:
        with trio.fail_after(20):
            await self._over.wait()


@asynccontextmanager
async def asking(answers: Answers) -> AsyncIterator[tuple[Asker, Answering]]:
    ours, its = channel()
    answering = Answering()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering.run, its, answers)
            yield Asker(ours), answering
            ours.close()
            await answering.over()


def _row(number: int, padding: int = 0) -> ClosedRow:
    return ClosedRow(f"{number}{' ' * padding}")


def _numbers(count: int, padding: int = 0) -> Answer:
    """A row a batch."""
    return lambda _: ([_row(number, padding)] for number in range(count))


# ---- answers ----


async def test_all_rows_come_in_order_and_then_the_end() -> None:
    async with asking({CloseTunnel: _numbers(_MANY)}) as (asker, _):
        asker.ask(number=77)
        assert await asker.answer() == (77, [_row(number) for number in range(_MANY)])
        assert asker.hears_nothing()


async def test_a_question_brings_along_what_it_is_about() -> None:
    heard: list[CloseTunnel] = []

    def close(question: CloseTunnel) -> RowBatches:
        heard.append(question)
        yield [ClosedRow(question.id)]

    async with asking({CloseTunnel: close}) as (asker, _):
        wire.send(asker.sock, CloseTunnel(3, "abc"))
        assert await asker.answer() == (3, [ClosedRow("abc")])
        assert heard == [CloseTunnel(3, "abc")]


@pytest.mark.parametrize("nothing", [lambda _: iter(()), lambda _: iter(([], []))])
async def test_an_answer_may_have_no_rows(nothing: Answer) -> None:
    async with asking({CloseTunnel: nothing}) as (asker, _):
        asker.ask(number=4)
        assert await asker.answer() == (4, [])
        assert len(asker.sizes) == 1


async def test_questions_are_answered_one_after_the_other() -> None:
    sums = [CountRow((), number, 0, 1) for number in range(2)]
    async with asking({CloseTunnel: _numbers(3), AskCounts: lambda _: iter([sums])}) as (asker, _):
        for number, what in enumerate((CloseTunnel, AskCounts, CloseTunnel)):
            asker.ask(what, number)
        for number, count in enumerate((3, 2, 3)):
            told, rows = await asker.answer()
            assert (told, len(rows)) == (number, count)


async def test_a_question_that_came_later_is_answered_with_that() -> None:
    async with asking({CloseTunnel: _numbers(3)}) as (asker, _):
        asker.sock.send(b'{"version": 1, "kind": "weather", "request": 5, "place": "here"}')
        assert await asker.packet() == UnknownQuestion(5, more=False, rows=())
        asker.ask()
        assert len((await asker.answer())[1]) == 3


# ---- others have their turn ----


async def test_other_tasks_go_on_between_two_batches() -> None:
    turns = itertools.count()
    seen: list[int] = []

    async def other() -> None:
        while True:
            next(turns)
            await trio.lowlevel.checkpoint()

    def pauses(_: AskCounts) -> RowBatches:
        while len(seen) < 10:
            seen.append(next(turns))
            yield []

    async with asking({AskCounts: pauses}) as (asker, _), trio.open_nursery() as nursery:
        nursery.start_soon(other)
        asker.ask(AskCounts)
        assert await asker.answer() == (1, [])
        nursery.cancel_scope.cancel()
    assert seen[-1] - seen[0] >= 9 + 8, "one turn each, in whatever order"


async def test_a_reader_that_stops_holds_up_nobody_and_misses_nothing() -> None:
    made = []

    def rows(_: CloseTunnel) -> RowBatches:
        for number in range(_MANY):
            made.append(number)
            yield [_row(number, 1000)]

    async with asking({CloseTunnel: rows, AskTunnels: lambda _: iter(())}) as (asker, _):
        asker.ask()
        asker.ask(AskTunnels, 2)
        await wait_all_tasks_blocked()
        held = len(made)
        assert 0 < held < _MANY, "what nobody takes is not even made"
        await wait_all_tasks_blocked()
        assert len(made) == held
        assert (await asker.answer())[1] == [_row(number, 1000) for number in range(_MANY)]
        assert await asker.answer() == (2, [])


# ---- the end ----


async def test_it_ends_with_the_other_side() -> None:
    async with asking({}) as (asker, answering):
        await wait_all_tasks_blocked()
        asker.sock.close()
        await answering.over()


@pytest.mark.parametrize("read", [0, 1, 5])
async def test_the_other_side_may_die_in_the_middle_of_an_answer(read: int) -> None:
    over = []

    def rows(_: CloseTunnel) -> RowBatches:
        try:
            for number in range(_MANY):
                yield [_row(number, 1000)]
        finally:
            over.append(True)

    async with asking({CloseTunnel: rows}) as (asker, answering):
        asker.ask()
        for _ in range(read):
            await asker.packet()
        await wait_all_tasks_blocked()
        asker.sock.close()
        await answering.over()
    assert over


async def test_it_ends_when_the_other_side_reads_nothing_for_seconds(autojump_clock: MockClock) -> None:
    over = []

    def rows(_: CloseTunnel) -> RowBatches:
        try:
            yield from _numbers(_MANY, 1000)(CloseTunnel(1, "a"))
        finally:
            over.append(True)

    async with asking({CloseTunnel: rows}) as (asker, answering):
        asker.ask()
        await trio.sleep(4)
        assert not over
        await answering.over()
        assert over
        assert await asker.packet() is not None  # what was said before is there


async def test_the_other_side_may_be_gone_before_it_is_heard() -> None:
    ours, its = channel()
    wire.send(ours, CloseTunnel(1, "a"))
    ours.close()
    with trio.fail_after(20):
        await answer_queries(its, {CloseTunnel: _numbers(3)}, failed)
    assert its.fileno() == -1


async def test_it_ends_when_it_is_cancelled() -> None:
    ours, its = channel()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_queries, its, {}, failed)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert ours.recv(1) == b""


@pytest.mark.parametrize(
    "nonsense",
    [b"nonsense", b'{"kind": "close", "request": 1, "id": ""}', b'{"version": 1, "kind": "close", "request": 1}'],
)
async def test_who_is_not_understood_is_left(nonsense: bytes) -> None:
    async with asking({CloseTunnel: _numbers(3)}) as (asker, answering):
        asker.sock.send(nonsense)
        await answering.over()
        assert await asker.packet() is None


# ---- the longest rows there are ----

_HOSTS = [f"{number:03}" + ".".join([number_text * 50 for number_text in "abcde"])[:250] for number in range(300)]


def _config(name: str) -> Config:
    """One route and one upstream, both of this name."""
    return load(
        f"""
[upstreams.{json.dumps(name, ensure_ascii=False)}]
address = "{{pod}}.pods.test:8000"

[[routes]]
name = {json.dumps(name, ensure_ascii=False)}
regex = '^/(?<pod>[^/]+)$'
upstream = {json.dumps(name, ensure_ascii=False)}
""",
        environ={},
    )


async def _all_answers(config: Config, nursery: trio.Nursery, client: str, protocol: str) -> Answers:
    [route], [upstream] = config.routes, config.upstreams
    relay, states = StillRelay(), EndpointStates()
    for number, host in enumerate(_HOSTS):
        address = f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:{number + 0x1000:x}"
        attempt = AttemptOutcome(upstream, f"[{address}]:65535", "handshake_deadline", pod=host)
        one = record(
            number,
            client=client,
            path="/" + "x" * 30_000,
            route=route.name,
            upstream=upstream,
            protocol=protocol,
            endpoint=Endpoint(host, address, 65535),
            attempts=[attempt],
        )
        states.learn(attempt)
        relay.shown.append(still(evolve(one, started=-1e9)))
        relay.shown[-1].to_pod = relay.shown[-1].to_client = 1 << 60
    source = NameSource(Resolver(config.resolver, nursery=nursery, lifetime=1.0))
    return {
        AskTunnels: lambda _: tunnel_rows.tunnels(relay, 250),
        AskCounts: lambda _: tunnel_rows.counts(relay, 250),
        AskEndpoints: lambda _: endpoint_rows.endpoints(states, config, source, lambda _: 1 << 60),
    }


async def _law(
    config: Config, nursery: trio.Nursery, client: str = "2001:db8::ffff", protocol: str = "websocket"
) -> None:
    async with asking(await _all_answers(config, nursery, client, protocol)) as (asker, _):
        for what, count in ((AskTunnels, len(_HOSTS)), (AskEndpoints, len(_HOSTS)), (AskCounts, 20)):
            asker.ask(what)
            _, rows = await asker.answer()
            assert len(rows) == count
        assert max(asker.sizes) <= _MAX_BYTES


@pytest.mark.parametrize("name", ["call", "x" * 100, "ü" * 100, "😀" * 100])
async def test_no_packet_is_longer_than_its_reader_takes(nursery: trio.Nursery, name: str) -> None:
    await _law(_config(name), nursery)


# Whatever is refused: a name that the configuration accepts must not make a worker's answers unreadable.
@pytest.mark.parametrize("name", ["x" * 5000, "ü" * 500])
async def test_a_name_is_refused_or_its_packets_can_be_read(nursery: trio.Nursery, name: str) -> None:
    try:
        config = _config(name)
    except ConfigError:
        return
    await _law(config, nursery)


async def test_no_text_from_outside_is_too_long_for_a_packet(nursery: trio.Nursery) -> None:
    """Whoever lets one through."""
    await _law(_config("call"), nursery, client="fe80::1%" + "z" * 31_000, protocol="ü" * 31_000)


async def test_rows_that_are_together_too_long_for_a_packet_come_in_several() -> None:
    rows = [_row(number, 10_000) for number in range(33)]
    async with asking({CloseTunnel: lambda _: iter([rows])}) as (asker, _):
        asker.ask()
        assert await asker.answer() == (1, rows)
        assert max(asker.sizes) <= _MAX_BYTES


async def test_a_row_that_is_too_long_is_left_out_and_told_of() -> None:
    told: list[Exception] = []
    answers: Answers = {CloseTunnel: lambda _: iter([rows])}
    rows = [_row(1), _row(2, 70_000), _row(3)]
    ours, its = channel()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_queries, its, answers, told.append)
            asker = Asker(ours)
            asker.ask()
            assert await asker.answer() == (1, [_row(1), _row(3)])
            nursery.cancel_scope.cancel()
    assert [type(error) for error in told] == [wire.TooLong]
