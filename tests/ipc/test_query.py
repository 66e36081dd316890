"""The worker's side of its private channel: all rows, in packets that fit, and nobody waits for a reader."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.errors import ConfigError
from splicer.ipc import wire
from splicer.ipc.query import Answer, RowBatches, answer_queries
from splicer.ipc.wire import Message
from splicer.model import AttemptOutcome, Endpoint
from splicer.net.resolve import Resolver
from splicer.observe import tunnel_rows
from splicer.upstream.status import EndpointStates
from splicer.vault.protocol import channel
from tests.kit.descriptors import none_left_open
from tests.observe.still import StillRelay, record, still

_MAX_BYTES = 64 * 1024  # bytes of a packet (ipc.wire)
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

    def ask(self, what: str, number: int = 1) -> None:
        wire.send(self.sock, {"ask": what, "n": number})

    async def packet(self) -> Message | None:
        """One packet, whatever its length; None: it is the end."""
        with trio.fail_after(20):
            await trio.lowlevel.wait_readable(self.sock)
        data = self.sock.recv(1 << 22)
        self.sizes.append(len(data))
        return dict(json.loads(data)) if data else None

    async def answer(self) -> tuple[int, list[Message]]:
        """A whole one: its number, and the rows."""
        rows: list[Message] = []
        while True:
            packet = await self.packet()
            assert packet is not None
            rows += packet["rows"]
            if not packet["more"]:
                return packet["n"], rows

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

    async def run(self, sock: socket.socket, answers: Mapping[str, Answer]) -> None:
        await answer_queries(sock, answers, failed)
        assert sock.fileno() == -1
        self._over.set()

    async def over(self) -> None:
        with trio.fail_after(20):
            await self._over.wait()


@asynccontextmanager
async def asking(answers: Mapping[str, Answer]) -> AsyncIterator[tuple[Asker, Answering]]:
    ours, its = channel()
    answering = Answering()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering.run, its, answers)
            yield Asker(ours), answering
            ours.close()
            await answering.over()


def _numbers(count: int, padding: int = 0) -> Answer:
    """A row a batch."""
    return lambda _: ([{"row": number, "text": "x" * padding}] for number in range(count))


# ---- answers ----


async def test_all_rows_come_in_order_and_then_the_end() -> None:
    async with asking({"tunnels": _numbers(_MANY)}) as (asker, _):
        asker.ask("tunnels", 77)
        number, rows = await asker.answer()
        assert (number, [row["row"] for row in rows]) == (77, list(range(_MANY)))
        assert asker.hears_nothing()


async def test_a_question_brings_along_what_it_is_about() -> None:
    heard: list[Message] = []

    def close(words: Message) -> RowBatches:
        heard.append(words)
        yield [{"closed": words["id"]}]

    async with asking({"close": close}) as (asker, _):
        wire.send(asker.sock, {"ask": "close", "n": 3, "id": "abc"})
        assert await asker.answer() == (3, [{"closed": "abc"}])
        assert heard == [{"version": wire.VERSION, "ask": "close", "n": 3, "id": "abc"}]


@pytest.mark.parametrize("nothing", [lambda _: iter(()), lambda _: iter(([], []))])
async def test_an_answer_may_have_no_rows(nothing: Answer) -> None:
    async with asking({"close": nothing}) as (asker, _):
        asker.ask("close", 4)
        assert await asker.answer() == (4, [])
        assert len(asker.sizes) == 1


async def test_questions_are_answered_one_after_the_other() -> None:
    async with asking({"tunnels": _numbers(3), "gauges": _numbers(2)}) as (asker, _):
        for number, what in enumerate(("tunnels", "gauges", "tunnels")):
            asker.ask(what, number)
        for number, count in enumerate((3, 2, 3)):
            told, rows = await asker.answer()
            assert (told, len(rows)) == (number, count)


@pytest.mark.parametrize("words", [{"ask": "nonsense", "n": 5}, {"n": 5}])
async def test_what_is_not_known_has_no_rows(words: Message) -> None:
    async with asking({"tunnels": _numbers(3)}) as (asker, _):
        wire.send(asker.sock, words)
        assert await asker.answer() == (5, [])
        asker.ask("tunnels")
        assert len((await asker.answer())[1]) == 3


# ---- others have their turn ----


async def test_other_tasks_go_on_between_two_batches() -> None:
    turns = itertools.count()
    seen: list[int] = []

    async def other() -> None:
        while True:
            next(turns)
            await trio.lowlevel.checkpoint()

    def pauses(_: Message) -> RowBatches:
        while len(seen) < 10:
            seen.append(next(turns))
            yield []

    async with asking({"gauges": pauses}) as (asker, _), trio.open_nursery() as nursery:
        nursery.start_soon(other)
        asker.ask("gauges")
        assert await asker.answer() == (1, [])
        nursery.cancel_scope.cancel()
    assert seen[-1] - seen[0] >= 9 + 8, "one turn each, in whatever order"


async def test_a_reader_that_stops_holds_up_nobody_and_misses_nothing() -> None:
    made = []

    def rows(_: Message) -> RowBatches:
        for number in range(_MANY):
            made.append(number)
            yield [{"row": number, "text": "x" * 1000}]

    async with asking({"tunnels": rows}) as (asker, _):
        asker.ask("tunnels")
        asker.ask("nonsense", 2)
        await wait_all_tasks_blocked()
        held = len(made)
        assert 0 < held < _MANY, "what nobody takes is not even made"
        await wait_all_tasks_blocked()
        assert len(made) == held
        assert [row["row"] for row in (await asker.answer())[1]] == list(range(_MANY))
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

    def rows(_: Message) -> RowBatches:
        try:
            for number in range(_MANY):
                yield [{"row": number, "text": "x" * 1000}]
        finally:
            over.append(True)

    async with asking({"tunnels": rows}) as (asker, answering):
        asker.ask("tunnels")
        for _ in range(read):
            await asker.packet()
        await wait_all_tasks_blocked()
        asker.sock.close()
        await answering.over()
    assert over


async def test_it_ends_when_the_other_side_reads_nothing_for_seconds(autojump_clock: MockClock) -> None:
    over = []

    def rows(_: Message) -> RowBatches:
        try:
            yield from _numbers(_MANY, 1000)({})
        finally:
            over.append(True)

    async with asking({"tunnels": rows}) as (asker, answering):
        asker.ask("tunnels")
        await trio.sleep(4)
        assert not over
        await answering.over()
        assert over
        assert await asker.packet() is not None  # what was said before is there


async def test_the_other_side_may_be_gone_before_it_is_heard() -> None:
    ours, its = channel()
    wire.send(ours, {"ask": "tunnels", "n": 1})
    ours.close()
    with trio.fail_after(20):
        await answer_queries(its, {"tunnels": _numbers(3)}, failed)
    assert its.fileno() == -1


async def test_it_ends_when_it_is_cancelled() -> None:
    ours, its = channel()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_queries, its, {}, failed)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert ours.recv(1) == b""


@pytest.mark.parametrize("nonsense", [b"nonsense", b'{"ask": "tunnels", "n": 1}', b'{"version": 99, "ask": "tunnels"}'])
async def test_who_is_not_understood_is_left(nonsense: bytes) -> None:
    async with asking({"tunnels": _numbers(3)}) as (asker, answering):
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


async def _all_answers(config: Config, nursery: trio.Nursery, client: str, protocol: str) -> Mapping[str, Answer]:
    [route], [upstream] = config.routes, config.upstreams
    relay, states = StillRelay(), EndpointStates()
    for number, host in enumerate(_HOSTS):
        address = f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:{number + 0x1000:x}"
        attempts = [AttemptOutcome(upstream, f"[{address}]:65535", "handshake_deadline", pod=host)]
        one = record(
            number,
            client=client,
            path="/" + "x" * 30_000,
            route=route.name,
            upstream=upstream,
            protocol=protocol,
            endpoint=Endpoint(host, address, 65535),
            attempts=attempts,
        )
        states.learn(one)
        relay.shown.append(still(evolve(one, started=-1e9)))
        relay.shown[-1].to_pod = relay.shown[-1].to_client = 1 << 60
    resolver = Resolver(config.resolver, nursery=nursery, lifetime=1.0)
    return {
        "tunnels": lambda _: tunnel_rows.tunnels(relay, 250),
        "gauges": lambda _: tunnel_rows.counts(relay, 250),
        "endpoints": lambda _: states.rows(config, resolver, lambda _: 1 << 60),
    }


async def _law(
    config: Config, nursery: trio.Nursery, client: str = "2001:db8::ffff", protocol: str = "websocket"
) -> None:
    async with asking(await _all_answers(config, nursery, client, protocol)) as (asker, _):
        for what, count in (("tunnels", len(_HOSTS)), ("endpoints", len(_HOSTS)), ("gauges", 20)):
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
    rows = [{"row": number, "text": "x" * 10_000} for number in range(33)]
    async with asking({"tunnels": lambda _: iter([rows])}) as (asker, _):
        asker.ask("tunnels")
        assert await asker.answer() == (1, rows)
        assert max(asker.sizes) <= _MAX_BYTES


async def test_a_row_that_is_too_long_is_left_out_and_told_of() -> None:
    told: list[Exception] = []
    answers: Mapping[str, Answer] = {"tunnels": lambda _: iter([rows])}
    rows: list[Message] = [{"row": 1}, {"row": 2, "text": "x" * 70_000}, {"row": 3}]
    ours, its = channel()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_queries, its, answers, told.append)
            asker = Asker(ours)
            asker.ask("tunnels")
            assert await asker.answer() == (1, [{"row": 1}, {"row": 3}])
            nursery.cancel_scope.cancel()
    assert [type(error) for error in told] == [wire.TooLong]
