"""Idle connections: how many, how long, and which may be used again."""

from __future__ import annotations

import trio
from attrs import define
from trio.testing import MockClock

from splicer.model import Endpoint
from splicer.upstream.pool import IdlePool

ONE, OTHER = Endpoint("one", "10.0.0.1", 80), Endpoint("other", "10.0.0.1", 81)


@define(eq=False)
class Stream:
    """As much of a `ByteStream` as the pool needs."""

    name: int = 0
    quiet: bool = True
    closed: bool = False

    def is_quiet(self) -> bool:
        return self.quiet

    def close(self) -> None:
        self.closed = True


def give(pool: IdlePool, endpoint: Endpoint, *streams: Stream) -> None:
    for stream in streams:
        pool.give(endpoint, stream)  # type: ignore[arg-type]  # see Stream


def take(pool: IdlePool, endpoint: Endpoint) -> object:
    return pool.take(endpoint)


async def test_the_one_used_last_comes_first() -> None:
    pool = IdlePool()
    first, second = Stream(), Stream()
    give(pool, ONE, first, second)
    assert len(pool) == 2
    assert take(pool, ONE) is second
    assert take(pool, ONE) is first
    assert take(pool, ONE) is None
    assert len(pool) == 0


async def test_each_endpoint_has_its_own() -> None:
    pool = IdlePool()
    give(pool, ONE, stream := Stream())
    assert take(pool, OTHER) is None
    assert take(pool, Endpoint("other name", ONE.address, ONE.port)) is stream


async def test_the_oldest_goes_when_there_are_enough() -> None:
    pool = IdlePool(per_endpoint=2)
    streams = [Stream() for _ in range(4)]
    give(pool, ONE, *streams)
    assert [stream.closed for stream in streams] == [True, True, False, False]
    assert len(pool) == 2


async def test_one_on_which_something_is_to_be_read_is_never_used() -> None:
    pool = IdlePool()
    good, bad, worse = Stream(), Stream(quiet=False), Stream(quiet=False)
    give(pool, ONE, good, bad, worse)
    assert take(pool, ONE) is good
    assert (bad.closed, worse.closed, good.closed) == (True, True, False)


async def test_one_that_has_idled_too_long_is_never_used(autojump_clock: MockClock) -> None:
    pool = IdlePool(seconds=30)
    give(pool, ONE, old := Stream())
    await trio.sleep(29)
    give(pool, ONE, young := Stream())
    await trio.sleep(1)
    assert take(pool, ONE) is young
    assert take(pool, ONE) is None
    assert (old.closed, young.closed) == (True, False)


async def test_what_has_idled_too_long_is_closed(autojump_clock: MockClock) -> None:
    pool = IdlePool(seconds=30)
    give(pool, ONE, old := Stream())
    give(pool, OTHER, older := Stream())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        await trio.sleep(20)
        give(pool, ONE, young := Stream())
        await trio.sleep(9)
        assert not old.closed
        await trio.sleep(7)
        assert (old.closed, older.closed, young.closed) == (True, True, False)
        assert len(pool) == 1
        assert take(pool, ONE) is young
        await trio.sleep(10)
        assert not pool._idle, "an endpoint without connections takes no memory"
        nursery.cancel_scope.cancel()


async def test_all_are_closed_at_the_end() -> None:
    pool = IdlePool()
    give(pool, ONE, *(streams := [Stream(), Stream()]))
    give(pool, OTHER, last := Stream())
    pool.close()
    assert all(stream.closed for stream in [*streams, last])
    assert len(pool) == 0
