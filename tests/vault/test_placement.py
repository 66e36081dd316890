"""Which worker gets a tunnel that has none, and when: the rules alone, with a clock by hand."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from splicer.vault import placement
from splicer.vault.held import Channel, Held
from splicer.vault.placement import Placement

_SOON, _LATER, _LONG = 0.1, 0.3, 5.0  # seconds: within the grace of a slot, past it, past everything


class Vault:
    """A placement, what it has given to whom, and the time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.flushes = 0
        self.placement = Placement(self._flush)
        self.channels: list[Channel] = []

    def monotonic(self) -> float:
        return self.now

    def _flush(self) -> None:
        self.flushes += 1

    def worker(self, slot: int, slots: int) -> Channel:
        """A worker that takes a slot."""
        channel = Channel(socket.socket())
        self.channels.append(channel)
        self.placement.serve(channel, slot, slots)
        return channel

    def has_had(self, slots: int) -> None:
        """There was an edge with so many workers; all of them are gone."""
        self.placement.slots = slots

    def orphan(self, *keys: int, slot: int = 1) -> list[Held]:
        """Tunnels of a slot whose worker has just died."""
        tunnels = [Held(key, b"", -1, -1, slot, 0) for key in keys]
        for held in tunnels:
            self.placement.orphan(held)
        self.placement.place(tunnels)
        return tunnels


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    vault = Vault()
    monkeypatch.setattr(placement, "time", vault)
    yield vault
    for channel in vault.channels:
        channel.sock.close()


def _given(channel: Channel) -> list[int]:
    return [item.key for item in channel.outbox if isinstance(item, Held)]


def test_the_worker_of_its_slot_gets_it_at_once(vault: Vault) -> None:
    one, two = vault.worker(1, 2), vault.worker(2, 2)
    [held] = vault.orphan(2, slot=2)
    assert (_given(one), _given(two)) == ([], [2])
    assert (held.owner, held.adoptions, list(two.keys)) == (two, 1, [2])
    assert vault.flushes > 0
    assert not vault.placement.orphans


def test_a_vacant_slot_is_waited_for_a_moment(vault: Vault) -> None:
    one = vault.worker(1, 2)
    vault.orphan(2, slot=2)
    vault.now += _SOON
    vault.placement.place_due()
    assert vault.placement.is_urgent
    assert _given(one) == []
    two = vault.worker(2, 2)
    assert _given(two) == [2]
    assert not vault.placement.is_urgent


def test_then_the_worker_with_the_fewest_gets_it(vault: Vault) -> None:
    one, two = vault.worker(1, 3), vault.worker(2, 3)
    one.keys = dict.fromkeys(range(100, 104))
    vault.orphan(2, 4, 6, slot=3)
    vault.now += _LATER
    vault.placement.place_due()
    assert (_given(one), _given(two)) == ([], [2, 4, 6])


def test_nobody_serves_so_it_waits(vault: Vault) -> None:
    vault.orphan(2)
    vault.now += _LATER
    vault.placement.place_due()
    assert list(vault.placement.orphans) == [2]
    assert not vault.placement.is_urgent, "nobody could take it"


def test_a_slot_that_there_is_no_longer_is_mapped_to_one_that_there_is(vault: Vault) -> None:
    one, two = vault.worker(1, 2), vault.worker(2, 2)
    vault.orphan(2, slot=3)
    vault.orphan(4, slot=4)
    vault.orphan(6, slot=0)
    assert (_given(one), _given(two)) == ([2, 6], [4])


def test_the_first_worker_of_a_whole_edge_does_not_get_the_calls_of_all(vault: Vault) -> None:
    vault.has_had(2)
    vault.orphan(2, slot=1)
    vault.orphan(4, slot=2)
    vault.now += _LONG
    one = vault.worker(1, 2)
    vault.placement.place_due()
    assert _given(one) == [2]
    vault.now += _LATER
    vault.placement.place_due()
    assert list(vault.placement.orphans) == [4], "the second is about to begin"
    assert _given(vault.worker(2, 2)) == [4]


def test_a_whole_edge_is_waited_for_once(vault: Vault) -> None:
    vault.has_had(2)
    vault.orphan(2, slot=2)
    vault.now += _LONG
    vault.placement.leave(vault.worker(1, 2))
    vault.now += _LONG
    one = vault.worker(1, 2)
    vault.placement.place_due()
    assert _given(one) == [2]


# A row of workers that die as soon as they have it must not keep it silent for ever.
def test_a_worker_that_dies_right_after_it_was_given_one_does_not_begin_its_time_anew(vault: Vault) -> None:
    vault.worker(1, 1)
    [held] = vault.orphan(2)
    orphaned = held.orphaned
    vault.now += _SOON
    vault.placement.orphan(held)
    assert held.orphaned == orphaned
    vault.placement.place([held])
    vault.now += _LONG
    vault.placement.orphan(held)
    assert held.orphaned == vault.now


def test_one_that_could_not_be_taken_waits_before_another_is_asked(vault: Vault) -> None:
    one = vault.worker(1, 1)
    [held] = vault.orphan(2)
    vault.now += _LONG
    vault.placement.take_back(held)
    assert (held.owner, list(one.keys)) == (None, [])
    vault.placement.place_due()
    assert list(vault.placement.orphans) == [2]
    vault.now += _LATER
    vault.placement.place_due()
    assert not vault.placement.orphans
    assert held.adoptions == 2


def test_a_worker_that_was_replaced_leaves_its_slot_to_the_new_one(vault: Vault) -> None:
    old, new = vault.worker(1, 1), vault.worker(1, 1)
    vault.placement.leave(old)
    vault.orphan(2)
    assert _given(new) == [2]


def test_slots_with_the_most_tunnels_come_first(vault: Vault) -> None:
    vault.has_had(3)
    vault.orphan(2, slot=1)
    vault.orphan(4, 6, slot=3)
    assert vault.placement.orphaned_slots == [3, 1]


def test_who_has_waited_too_long_is_known(vault: Vault) -> None:
    [first] = vault.orphan(2)
    vault.now += 10
    vault.orphan(4)
    assert vault.placement.kept_longer_than(5) == [first]
    vault.placement.forget(first)
    assert vault.placement.kept_longer_than(5) == []
