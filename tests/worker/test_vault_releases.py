"""Releases gather into one message, and who waits is called back when it has left: the rules alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.worker.vault_releases import Releases

_LONG_SECONDS = 1.0  # seconds: longer than anything gathers


class Channel:
    """The vault's end: messages that were said, none of which has left yet; and who was called back, in order."""

    def __init__(self) -> None:
        self.said: list[list[int]] = []
        self.calls: list[str] = []
        self._told: list[Callable[[], None]] = []
        self.releases = Releases(self._say)

    def _say(self, keys: Sequence[int], told: Callable[[], None]) -> None:
        self.said.append(list(keys))
        self._told.append(told)

    def take(self) -> None:
        """All of it has left."""
        told, self._told = self._told, []
        for call in told:
            call()

    def release(self, key: int, *, soon: bool = False) -> None:
        self.releases.add(
            key, lambda: self.calls.append(f"then {key}"), lambda: self.calls.append(f"after {key}"), soon=soon
        )


@pytest.fixture
async def channel(nursery: trio.Nursery) -> AsyncIterator[Channel]:
    channel = Channel()
    nursery.start_soon(channel.releases.run)
    await wait_all_tasks_blocked()
    yield channel
    nursery.cancel_scope.cancel()


async def test_they_wait_for_others_but_not_for_long(channel: Channel, autojump_clock: MockClock) -> None:
    for key in (2, 4, 6):
        channel.release(key)
    await wait_all_tasks_blocked()
    assert channel.said == []
    assert not channel.releases.is_empty
    await trio.sleep(_LONG_SECONDS)
    assert channel.said == [[2, 4, 6]]
    assert channel.releases.is_empty


async def test_the_window_begins_anew_with_the_next(channel: Channel, autojump_clock: MockClock) -> None:
    for key in (2, 4):
        channel.release(key)
        await trio.sleep(_LONG_SECONDS)
    assert channel.said == [[2], [4]]


async def test_one_that_somebody_waits_for_takes_the_others_along(channel: Channel) -> None:
    channel.release(2)
    channel.release(4, soon=True)
    assert channel.said == [[2, 4]]


async def test_a_message_has_only_so_much_room(channel: Channel) -> None:
    for key in range(600):
        channel.release(key)
    assert [len(keys) for keys in channel.said] == [256, 256]
    assert not channel.releases.is_empty


async def test_nobody_is_called_back_before_the_message_has_left(channel: Channel) -> None:
    channel.release(2)
    channel.release(4, soon=True)
    assert channel.calls == []
    channel.take()
    assert channel.calls == ["then 2", "then 4", "after 2", "after 4"]
    channel.take()
    assert len(channel.calls) == 4


def test_nothing_to_say_is_not_said() -> None:
    channel = Channel()
    channel.releases.post()
    assert channel.said == []


def test_one_who_is_called_back_may_release_another() -> None:
    channel = Channel()
    channel.releases.add(2, lambda: channel.release(4), lambda: None, soon=True)
    channel.take()
    channel.releases.post()
    assert channel.said == [[2], [4]]


@given(steps=st.lists(st.sampled_from(["release", "soon", "post", "wait"]), max_size=40))
def test_each_is_said_once_and_in_order(steps: list[str]) -> None:
    assert trio.run(_said, steps, clock=MockClock(autojump_threshold=0)) == [
        key for key, step in enumerate(steps) if step in ("release", "soon")
    ]


async def _said(steps: list[str]) -> list[int]:
    channel = Channel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.releases.run)
        for key, step in enumerate(steps):
            if step == "wait":
                await trio.sleep(_LONG_SECONDS)
            elif step == "post":
                channel.releases.post()
            else:
                channel.release(key, soon=step == "soon")
        await trio.sleep(_LONG_SECONDS)
        nursery.cancel_scope.cancel()
    return [key for keys in channel.said for key in keys]
