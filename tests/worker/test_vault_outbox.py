from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.vault import protocol
from splicer.vault.protocol import Kind
from splicer.worker.vault_outbox import Outbox

_TIMEOUT = 1.0
Said = tuple[int, int]


class Channel:
    """An outbox whose channel holds a handful of messages, and the vault's end of it."""

    def __init__(self) -> None:
        self.theirs, ours = protocol.channel()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        self.changes: list[bool] = []
        self.told: list[int] = []
        self.outbox = Outbox(ours, self.changes.append)

    def post(self, number: int) -> None:
        self.outbox.post(lambda: (protocol.pack(Kind.DROP, number), ()), lambda: self.told.append(number))

    def offer(self, key: int) -> None:
        self.outbox.offer(key, lambda: (protocol.pack(Kind.TUNNEL, key), ()))

    def fill(self) -> list[Said]:
        """Say something until it has to wait: what was said."""
        number = 0
        while self.outbox.is_empty:
            number += 1
            self.post(number)
        return [(Kind.DROP, each) for each in range(1, number + 1)]

    def read(self, count: int = 1 << 20) -> list[Said]:
        """What is there, at most so many."""
        heard: list[Said] = []
        try:
            while len(heard) < count:
                message = protocol.receive(self.theirs)
                assert message is not None
                heard.append((message.kind, message.number))
        except BlockingIOError:
            pass
        return heard

    async def read_all(self) -> list[Said]:
        """What there is, until nothing waits any more."""
        heard = self.read()
        while not self.outbox.is_empty:
            await trio.sleep(0.001)
            heard += self.read()
        return heard + self.read()

    def close(self) -> None:
        self.theirs.close()
        self.outbox.sock.close()


@asynccontextmanager
async def _channel() -> AsyncIterator[Channel]:
    channel = Channel()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.outbox.run)
            await wait_all_tasks_blocked()
            yield channel
            nursery.cancel_scope.cancel()
    finally:
        channel.close()


async def test_nobody_waits_for_what_leaves_at_once(autojump_clock: MockClock) -> None:
    async with _channel() as channel:
        channel.post(1)
        channel.offer(2)
        await channel.outbox.until_told(2)
        assert channel.told == [1]
        assert channel.read() == [(Kind.DROP, 1), (Kind.TUNNEL, 2)]
        await trio.sleep(60)
        assert channel.changes == []


async def test_who_takes_nothing_for_a_second_is_away_and_nobody_waits_any_more(autojump_clock: MockClock) -> None:
    async with _channel() as channel:
        said = channel.fill()
        began = trio.current_time()
        channel.offer(2)
        await channel.outbox.until_told(2)
        assert trio.current_time() == pytest.approx(began + _TIMEOUT)
        await wait_all_tasks_blocked()
        assert (channel.outbox.away, channel.changes) == (True, [False])
        assert channel.told == [number for _, number in said]  # nobody who wants to know is kept waiting either
        channel.offer(4)
        await channel.outbox.until_told(4)
        channel.post(99)
        assert channel.told[-1] == 99
        assert not await channel.outbox.room()
        assert trio.current_time() == pytest.approx(began + _TIMEOUT)
        await trio.sleep(3600)
        assert channel.changes == [False]
        heard = await channel.read_all()
        assert heard == [*said, (Kind.DROP, 99), (Kind.TUNNEL, 2), (Kind.TUNNEL, 4)]
        await wait_all_tasks_blocked()
        assert (channel.outbox.away, channel.changes) == (False, [False, True])
        assert len(channel.told) == len(said) + 1  # and never again


async def test_who_takes_a_little_now_and_then_is_there(autojump_clock: MockClock) -> None:
    async with _channel() as channel:
        channel.fill()
        for number in range(100, 120):
            channel.post(number)
        for _ in range(15):
            await trio.sleep(0.9)
            channel.read(1)
        assert channel.changes == []
        began = trio.current_time()
        channel.offer(2)
        await channel.outbox.until_told(2)  # but what is behind all that is not waited for any longer
        assert trio.current_time() <= began + _TIMEOUT + 0.01


async def test_who_waits_for_room_gets_it_when_something_was_taken(autojump_clock: MockClock) -> None:
    async with _channel() as channel, trio.open_nursery() as nursery:
        channel.fill()
        rooms = []

        async def wait() -> None:
            rooms.append(await channel.outbox.room())

        for _ in range(2):
            nursery.start_soon(wait)
        await trio.sleep(0.5)
        assert rooms == []
        channel.read()
        await trio.sleep(0.1)
        assert rooms == [True, True]


async def test_who_alone_waits_for_room_is_not_kept_for_ever(autojump_clock: MockClock) -> None:
    async with _channel() as channel:
        packet = protocol.pack(Kind.PIPE)
        while channel.outbox.send_now(packet, ()):
            pass
        assert channel.outbox.is_empty
        began = trio.current_time()
        assert not await channel.outbox.room()
        assert trio.current_time() == pytest.approx(began + _TIMEOUT)
        channel.read()
        await trio.sleep(0.1)
        assert channel.changes == [False, True]


async def test_what_was_withdrawn_is_not_said(autojump_clock: MockClock) -> None:
    async with _channel() as channel:
        said = channel.fill()
        for key in (2, 4, 6):
            channel.offer(key)
        assert channel.outbox.withdraw(4)
        assert not channel.outbox.withdraw(4)
        await trio.sleep(10)
        assert channel.outbox.withdraw(2)
        assert await channel.read_all() == [*said, (Kind.TUNNEL, 6)]
        assert not channel.outbox.withdraw(6)


async def test_what_is_made_of_nothing_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    async with _channel() as channel:
        said = channel.fill()
        channel.outbox.post(lambda: None, lambda: channel.told.append(-1))
        channel.post(99)
        assert await channel.read_all() == [*said, (Kind.DROP, 99)]
        assert channel.told[-2:] == [-1, 99]


async def test_a_broken_channel_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    async with _channel() as channel:
        said = channel.fill()
        channel.offer(2)
        channel.theirs.close()
        await channel.outbox.until_told(2)
        assert channel.outbox.is_empty
        assert channel.told == [number for _, number in said]
        channel.post(99)
        channel.offer(4)
        await channel.outbox.until_told(4)
        assert channel.told[-1] == 99
        assert channel.changes == []


async def test_one_that_was_away_and_is_gone_has_not_come_back(autojump_clock: MockClock) -> None:
    for _ in range(10):  # which of its two ends is seen first is chance
        async with _channel() as channel:
            channel.fill()
            channel.offer(2)
            await trio.sleep(5)
            channel.theirs.close()
            await trio.sleep(5)
            assert channel.outbox.is_empty
            assert channel.changes == [False]


async def test_too_many_descriptors_on_their_way_count_as_nothing_taken(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(*_: object) -> None:
        raise BlockingIOError(errno.ETOOMANYREFS, "Too many references: cannot splice")

    async with _channel() as channel:
        with monkeypatch.context() as patches:
            patches.setattr(protocol, "send", send)
            channel.offer(2)
            began = trio.current_time()
            await channel.outbox.until_told(2)
            assert trio.current_time() == pytest.approx(began + _TIMEOUT, abs=0.01)
            await trio.sleep(5)
            assert channel.changes == [False]
        await trio.sleep(0.1)
        assert channel.read() == [(Kind.TUNNEL, 2)]
        assert channel.changes == [False, True]


# ---- any order of anything ----

_STEPS = st.one_of(
    st.tuples(st.sampled_from(["post", "offer", "register", "room"]), st.integers(1, 8)),
    st.tuples(st.just("read"), st.integers(1, 8)),
    st.tuples(st.just("withdraw"), st.integers(0, 40)),
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.1, 0.6, 1.2])),
)


@given(st.lists(_STEPS, max_size=40))
def test_whatever_the_vault_does_all_is_said_once_in_order_and_nobody_waits_longer_than_a_second(
    steps: list[tuple[str, float]],
) -> None:
    trio.run(_obeys, steps, clock=MockClock(autojump_threshold=0))


async def _obeys(steps: list[tuple[str, float]]) -> None:
    posted: list[int] = []
    offered: list[int] = []
    withdrawn: set[int] = set()
    heard: list[Said] = []

    async def register(key: int) -> None:
        began = trio.current_time()
        channel.offer(key)
        await channel.outbox.until_told(key)
        assert trio.current_time() <= began + _TIMEOUT + 0.01

    async def room() -> None:
        began = trio.current_time()
        got = await channel.outbox.room()
        assert got or trio.current_time() <= began + _TIMEOUT + 0.01

    async with _channel() as channel, trio.open_nursery() as nursery:
        for step, value in steps:
            count = int(value)
            match step:
                case "post":
                    for _ in range(count):
                        posted.append(len(posted) + 1)
                        channel.post(posted[-1])
                case "offer" | "register":
                    for _ in range(count):
                        offered.append(2 * len(offered) + 2)
                        if step == "offer":
                            channel.offer(offered[-1])
                        else:
                            nursery.start_soon(register, offered[-1])
                            await trio.lowlevel.checkpoint()
                case "room":
                    nursery.start_soon(room)
                case "read":
                    heard += channel.read(count)
                case "withdraw" if count < len(offered):
                    key = offered[count]
                    if channel.outbox.withdraw(key):
                        withdrawn.add(key)
                case "sleep":
                    await trio.sleep(value)
        await wait_all_tasks_blocked()
        heard += await channel.read_all()
        await trio.sleep(0.1)
        assert not channel.outbox.away
    assert [number for kind, number in heard if kind == Kind.DROP] == posted
    assert sorted(number for kind, number in heard if kind == Kind.TUNNEL) == sorted(set(offered) - withdrawn)
    assert sorted(channel.told) == posted
    assert channel.changes == [bool(place % 2) for place in range(len(channel.changes))]
    assert len(channel.changes) % 2 == 0
