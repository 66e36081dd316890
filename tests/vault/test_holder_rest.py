"""Under load a holder reads messages together, and each as soon as it can while few come."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from splicer.vault import holder
from splicer.vault.protocol import Kind
from tests.vault.rig import Rig, Talker

INTERVAL = holder._READ_INTERVAL


class Clock:
    """A clock that the test sets; who sleeps moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(holder, "time", clock)
    return clock


@pytest.fixture
def turn(rig: Rig, clock: Clock) -> Callable[[], None]:
    """A turn of the loop, as its owner makes it."""

    def turn() -> None:
        for key, events in rig.selector.select(0):
            key.data(events)
        rig.holder.rest()

    return turn


@pytest.fixture
def worker(rig: Rig, clock: Clock) -> Talker:
    worker = rig.talker(1)
    rig.holder.rest()
    clock.now += 1.0
    return worker


def test_a_message_that_comes_alone_makes_nobody_sleep(
    turn: Callable[[], None], worker: Talker, clock: Clock, rig: Rig
) -> None:
    for number in range(1, 4):
        worker.tunnel(rig.tunnel(2 * number))
        turn()
        assert len(rig.holder.tunnels) == number
        clock.now += INTERVAL
    assert not clock.slept


def test_messages_that_come_fast_are_read_together(
    turn: Callable[[], None], worker: Talker, clock: Clock, rig: Rig
) -> None:
    worker.tunnel(rig.tunnel(2))
    turn()
    clock.now += INTERVAL / 4
    worker.tunnel(rig.tunnel(4))
    turn()
    assert clock.slept == [pytest.approx(INTERVAL * 3 / 4)]
    for number in range(3, 9):
        worker.tunnel(rig.tunnel(2 * number))
    turn()
    assert len(rig.holder.tunnels) == 8
    assert clock.slept[1:] == [pytest.approx(INTERVAL)]


def test_a_turn_without_a_message_makes_nobody_sleep(
    turn: Callable[[], None], worker: Talker, clock: Clock, rig: Rig
) -> None:
    worker.tunnel(rig.tunnel(2))
    turn()
    turn()
    assert not clock.slept


def test_nobody_sleeps_while_messages_are_left(turn: Callable[[], None], worker: Talker, clock: Clock) -> None:
    for _ in range(3 * holder._SHARE - 1):
        worker.send(Kind.RELEASE, 2)
    for _ in range(2):
        turn()
        assert not clock.slept
    turn()
    turn()
    assert not clock.slept  # the last ones are read by now, for the first time to the end
