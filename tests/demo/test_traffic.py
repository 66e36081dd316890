"""Calls that are kept alive: one that ends, however it does, is begun anew, and at another pod."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from splicer.demo import traffic
from splicer.demo.failure import DemoFailed
from splicer.demo.places import PODS


class Line:
    """Instead of `place_call`: notes who is called when; a call ends as the test says."""

    def __init__(self, *ends: BaseException | None) -> None:
        self.placed: list[tuple[float, str]] = []
        self.frames: list[int] = []
        self._ends = list(ends)

    @asynccontextmanager
    async def __call__(self, url: str) -> AsyncIterator[Line]:
        self.placed.append((trio.current_time(), url))
        yield self

    async def speak(self, frames: int) -> None:
        self.frames.append(frames)
        if self._ends:
            end = self._ends.pop(0)
            if end is not None:
                raise end
        else:
            await trio.sleep_forever()


@pytest.mark.parametrize(
    ("end", "rest"), [(None, 1.0), (DemoFailed("cut"), 5.0), (trio.TooSlowError(), 5.0), (OSError("refused"), 5.0)]
)
async def test_the_next_call_goes_to_the_next_pod(
    end: BaseException | None, rest: float, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(end, end)
    monkeypatch.setattr(traffic, "place_call", line)
    with trio.move_on_after(rest * 3):
        await traffic.keep_calls("127.0.0.1:8080", 1)
    assert [at - line.placed[0][0] for at, _ in line.placed] == pytest.approx([0, rest, 2 * rest])
    called = [re.fullmatch(r"ws://127\.0\.0\.1:8080/ws/pod/([^/]+)/caller-1", url) for _, url in line.placed]
    assert [found and found[1] for found in called] == list(PODS)[:3]
    assert all(20 * 50 <= frames <= 90 * 50 for frames in line.frames)


async def test_callers_are_spread_over_the_pods(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    monkeypatch.setattr(traffic, "place_call", line)
    with trio.move_on_after(1):
        await traffic.keep_calls("edge:1", len(PODS) + 1)
    pods = [url.split("/")[5] for _, url in line.placed]
    assert sorted(pods) == sorted([*PODS, next(iter(PODS))])


async def test_a_bug_is_no_end_of_a_call(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "place_call", Line(ZeroDivisionError()))
    with pytest.raises(BaseExceptionGroup) as raised:
        await traffic.keep_calls("edge:1", 1)
    assert raised.group_contains(ZeroDivisionError)


async def test_no_calls_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "place_call", None)
    await traffic.keep_calls("edge:1", 0)
