"""Finished connections: the pod closes, or is not waited for any longer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from attrs import define
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.upstream.closing import ClosingConnections


@define(eq=False)
class Stream:
    """As much of a `ByteStream` as is needed here."""

    quiet: bool = True
    ended: str = ""

    def is_quiet(self) -> bool:
        assert not self.ended
        return self.quiet

    def close(self) -> None:
        self.ended += "close"

    def reset(self) -> None:
        self.ended += "reset"


@pytest.fixture
async def closing(mock_clock: MockClock) -> AsyncIterator[ClosingConnections]:
    async with trio.open_nursery() as nursery:
        closing = ClosingConnections(most=3, seconds=1.0)
        nursery.start_soon(closing.run)
        yield closing
        nursery.cancel_scope.cancel()


def add(closing: ClosingConnections, *streams: Stream) -> None:
    for stream in streams:
        closing.add(stream)  # type: ignore[arg-type]  # see Stream


async def later(clock: MockClock, seconds: float) -> None:
    await wait_all_tasks_blocked()
    clock.jump(seconds)
    await wait_all_tasks_blocked()


async def test_what_the_pod_has_closed_is_closed(closing: ClosingConnections, mock_clock: MockClock) -> None:
    closed, open_ = Stream(), Stream()
    add(closing, closed, open_)
    closed.quiet = False
    await later(mock_clock, 0.1)
    assert (closed.ended, open_.ended, len(closing)) == ("close", "", 1)
    open_.quiet = False
    await later(mock_clock, 0.1)
    assert (open_.ended, len(closing)) == ("close", 0)


# A close would leave TIME_WAIT here.
async def test_what_the_pod_does_not_close_is_reset(closing: ClosingConnections, mock_clock: MockClock) -> None:
    stream = Stream()
    add(closing, stream)
    for _ in range(9):
        await later(mock_clock, 0.1)
    assert stream.ended == ""
    for _ in range(2):
        await later(mock_clock, 0.1)
    assert (stream.ended, len(closing)) == ("reset", 0)


async def test_no_more_than_so_many_are_waited_for(closing: ClosingConnections) -> None:
    streams = [Stream(), Stream(quiet=False), *(Stream() for _ in range(3))]
    add(closing, *streams)
    assert [stream.ended for stream in streams] == ["reset", "close", "", "", ""]
    assert len(closing) == 3


async def test_none_is_waited_for_at_the_end() -> None:
    closing, quiet, closed = ClosingConnections(), Stream(), Stream(quiet=False)
    add(closing, quiet, closed)
    closing.close()
    assert (quiet.ended, closed.ended, len(closing)) == ("reset", "close", 0)


async def test_nobody_looks_when_there_is_none(closing: ClosingConnections, mock_clock: MockClock) -> None:
    add(closing, Stream(quiet=False))
    await later(mock_clock, 0.1)
    assert len(closing) == 0
    assert trio.lowlevel.current_statistics().seconds_to_next_deadline > 1000
