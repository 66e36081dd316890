"""Slots that stay vacant."""

from __future__ import annotations

from contextlib import suppress

import pytest

from splicer.vault import protocol
from splicer.vault.protocol import Kind
from tests.vault.rig import Rig, Talker, close_messages


class Clock:
    """The holder's, which the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("holder", "placement"):
        monkeypatch.setattr(f"splicer.vault.{module}.time", clock)
    return clock


def _orphan(rig: Rig, slot: int, slots: int, *keys: int) -> None:
    worker = rig.talker(slot, slots)
    for key in keys:
        worker.tunnel(rig.tunnel(key))
    worker.close()
    rig.hear()


def _silence(rig: Rig, clock: Clock, *heirs: Talker, most: float = 10.0) -> float:
    """Seconds until somebody gets a tunnel, which is closed."""
    began = clock.now
    while clock.now < began + most:
        rig.holder.tidy()
        for heir in heirs:
            with suppress(BlockingIOError):
                heir.answer().close()
                return round(clock.now - began, 6)
        clock.now += rig.holder.tidy_interval
    raise AssertionError("nobody gets it")


def test_a_tunnel_whose_slot_stays_vacant_goes_to_whoever_has_least(rig: Rig, clock: Clock) -> None:
    busy, idle = rig.talker(1, 3), rig.talker(2, 3)
    busy.tunnel(rig.tunnel(4))
    _orphan(rig, 3, 3, 2)
    assert 0.2 <= _silence(rig, clock, idle) < 0.25
    assert busy.hears_nothing()


def test_those_of_a_vacant_slot_are_spread_evenly(rig: Rig, clock: Clock) -> None:
    heirs = [rig.talker(slot, 3) for slot in (1, 2)]
    _orphan(rig, 3, 3, *range(2, 22, 2))
    _silence(rig, clock, heirs[0])
    for heir, left in zip(heirs, (4, 5), strict=True):
        close_messages(*(heir.adopt() for _ in range(left)))
        assert heir.hears_nothing()


@pytest.mark.parametrize("lives", [0.0, 0.3, 0.9])
def test_workers_that_die_as_soon_as_they_get_a_call_do_not_keep_it_silent(
    rig: Rig, clock: Clock, lives: float
) -> None:
    other = rig.talker(1, 2)
    _orphan(rig, 2, 2, 2)
    died = clock.now
    for _ in range(9):
        clock.now += 0.05
        dying = rig.talker(2, 2)
        dying.adopt().close()
        clock.now += lives
        dying.close()
        rig.hear()
        rig.holder.tidy()
        if not rig.holder.placement.orphans:
            break
    assert clock.now - died < 0.25 + lives
    other.adopt().close()


def test_one_that_went_on_with_a_call_begins_its_silence_anew(rig: Rig, clock: Clock) -> None:
    other = rig.talker(1, 2)
    _orphan(rig, 2, 2, 2)
    clock.now += 0.1
    heir = rig.talker(2, 2)
    heir.adopt().close()
    clock.now += 30
    heir.close()
    rig.hear()
    assert 0.2 <= _silence(rig, clock, other) < 0.25


@pytest.mark.parametrize(("alone", "waits"), [(0.05, 0.15), (0.15, 0.05), (0.45, 0.0), (2.0, 1.0), (500.0, 1.0)])
def test_how_long_a_call_without_any_worker_waits_for_its_own_after_the_first(
    rig: Rig, clock: Clock, alone: float, waits: float
) -> None:
    """The silence counts from its beginning; but an edge that begins has all its workers a moment after the first."""
    _orphan(rig, 2, 2, 2)
    clock.now += alone
    first = rig.talker(1, 2)
    assert waits <= _silence(rig, clock, first) < waits + 0.06


def test_an_edge_that_begins_gives_its_first_worker_none_of_the_others_tunnels(rig: Rig, clock: Clock) -> None:
    _orphan(rig, 2, 2, 2)
    clock.now += 60
    first = rig.talker(1, 2)
    clock.now += 0.9
    rig.holder.tidy()
    assert first.hears_nothing()
    rig.talker(2, 2).adopt().close()


def test_an_edge_that_begins_again_and_again_delays_no_call_for_ever(rig: Rig, clock: Clock) -> None:
    _orphan(rig, 2, 2, 2)
    clock.now += 60
    began = clock.now
    while rig.holder.placement.orphans:
        assert clock.now < began + 2
        first = rig.talker(1, 2)
        clock.now += 0.35
        rig.holder.tidy()
        if rig.holder.placement.orphans:
            first.close()
            rig.hear()
        clock.now += 0.35
    first.adopt().close()


def test_who_gave_a_tunnel_back_is_not_asked_again_at_once(rig: Rig, clock: Clock) -> None:
    _orphan(rig, 1, 1, 2)
    clock.now += 0.1
    only = rig.talker(1)
    only.adopt().close()
    only.send(Kind.RETURN, 2)
    rig.hear()
    assert 0.2 <= _silence(rig, clock, only) < 0.25


def test_slots_are_told_by_how_many_wait_for_them(rig: Rig) -> None:
    for slot, keys in ((3, (2, 4)), (1, (6,)), (4, (8, 10, 12))):
        _orphan(rig, slot, 4, *keys)
    asker = rig.talker()
    asker.send(Kind.COUNT)
    rig.hear()
    answer = asker.answer()
    assert (answer.quantity, protocol.keys(answer.payload)) == (6, (4, 3, 1))
