from __future__ import annotations

import os
import selectors
import socket
from contextlib import suppress

import pytest

from splicer.vault import protocol
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind, Message
from tests.kit.descriptors import no_more_descriptors, open_descriptors
from tests.vault.rig import Rig, Talker, Tunnel

_WAYS = [TO_POD, TO_CLIENT]


def _close(*messages: Message) -> None:
    for message in messages:
        message.close()


# ---- what a dead worker said ----


def test_a_registration_outlives_its_sender(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.close()
    assert tunnel.is_held()
    rig.hear()
    assert list(rig.holder.placement.orphans) == [tunnel.key]
    assert tunnel.is_held()


def test_it_is_read_past_a_reset(rig: Rig) -> None:
    worker, tunnels = rig.talker(1), [rig.tunnel(2), rig.tunnel(4)]
    worker.send(Kind.COUNT)
    rig.hear()
    for tunnel in tunnels:
        worker.tunnel(tunnel)
    worker.close()  # without having read the answer: ECONNRESET comes first
    rig.hear()
    assert sorted(rig.holder.placement.orphans) == [2, 4]


def test_more_than_one_share_of_messages_is_read_to_the_end(rig: Rig) -> None:
    worker = rig.talker(1)
    for key in range(2, 402, 2):
        tunnel = rig.tunnel(key)
        worker.tunnel(tunnel)
    worker.close()
    rig.hear()
    assert len(rig.holder.placement.orphans) == 200


def test_a_release_by_another_does_nothing(rig: Rig) -> None:
    worker, other, tunnel = rig.talker(1), rig.talker(2, 2), rig.tunnel()
    worker.tunnel(tunnel)
    rig.hear()
    other.send(Kind.RELEASE, tunnel.key)
    rig.hear()
    assert list(rig.holder.tunnels) == [tunnel.key]
    worker.send(Kind.RELEASE, tunnel.key)
    rig.hear()
    assert not rig.holder.tunnels
    assert not tunnel.is_held()


def test_one_release_may_speak_of_many(rig: Rig) -> None:
    worker, other = rig.talker(1, 2), rig.talker(2, 2)
    tunnels = [rig.tunnel(key) for key in (2, 4, 6, 8, 10)]
    for tunnel in tunnels:
        (other if tunnel.key == 6 else worker).tunnel(tunnel)
    rig.hear()
    worker.send(Kind.RELEASE, 2, protocol.pack_keys([4, 6, 99, 8]))
    rig.hear()
    assert [tunnel.is_held() for tunnel in tunnels] == [False, False, True, False, True]
    assert sorted(rig.holder.tunnels) == [6, 10]


def test_a_release_of_an_orphan_by_its_former_worker_is_none_of_the_next_ones(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.close()
    rig.hear()
    other = rig.talker(2, 2)
    other.send(Kind.RELEASE, tunnel.key)
    rig.hear()
    assert tunnel.is_held()


def test_a_tunnel_that_is_known_is_not_taken_twice(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    again = [os.dup(sock.fileno()) for sock in (tunnel.inner_client, tunnel.inner_pod)]
    worker.tunnel(tunnel)
    worker.send(Kind.TUNNEL, tunnel.key, b"", tuple(again))
    rig.hear()
    for fd in again:
        os.close(fd)
    worker.send(Kind.RELEASE, tunnel.key)
    rig.hear()
    assert not tunnel.is_held()


# ---- dirty pipes ----


@pytest.mark.parametrize("way", _WAYS)
def test_a_dirty_pipe_goes_with_its_tunnel_and_direction(rig: Rig, way: int) -> None:
    worker, tunnels = rig.talker(1), [rig.tunnel(2), rig.tunnel(4)]
    worker.pipe(rig.pipe(b"bytes"), 7, 4 | way)
    for tunnel in tunnels:
        worker.tunnel(tunnel, b"%d" % tunnel.key)
    worker.close()
    rig.hear()
    heir = rig.talker(1)
    messages = {message.number: message for message in (heir.adopt(), heir.adopt())}
    assert {key: (message.flags, message.payload, message.quantity) for key, message in messages.items()} == {
        2: (0, b"2", 1),
        4: (protocol.parked(way), b"4", 1),
    }
    assert os.read(messages[4].fds[2], 9) == b"bytes"
    _close(*messages.values())


def test_both_directions_at_once(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.pipe(rig.pipe(b"to client"), 0, tunnel.key | TO_CLIENT)
    worker.pipe(rig.pipe(b"to pod"), 1, tunnel.key | TO_POD)
    worker.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert [os.read(fd, 9) for fd in adopted.fds[2:]] == [b"to pod", b"to client"]
    _close(adopted)


def test_a_dirty_pipe_of_an_unknown_tunnel_is_closed(rig: Rig) -> None:
    worker, tunnel, pipe = rig.talker(1), rig.tunnel(), rig.pipe(b"secret")
    worker.tunnel(tunnel)
    worker.pipe(pipe, 0, 4)
    worker.close()
    rig.hear()
    assert not pipe.is_held()
    assert not rig.holder.tunnels[tunnel.key].pipes


def test_a_dirty_pipe_of_anothers_tunnel_is_closed(rig: Rig) -> None:
    worker, other, tunnel, pipe = rig.talker(1, 2), rig.talker(2, 2), rig.tunnel(), rig.pipe(b"secret")
    other.tunnel(tunnel)
    worker.pipe(pipe, 0, tunnel.key)
    worker.close()
    rig.hear()
    assert not pipe.is_held()
    assert not rig.holder.tunnels[tunnel.key].pipes


def test_an_empty_pipe_with_a_stale_word_is_closed(rig: Rig) -> None:
    worker, tunnel, pipe = rig.talker(1), rig.tunnel(), rig.pipe()
    worker.tunnel(tunnel)
    worker.pipe(pipe, 0, tunnel.key)
    worker.close()
    rig.hear()
    assert not pipe.is_held()
    assert not rig.holder.pipes.inherited


def test_without_a_journal_every_pipe_is_closed(rig: Rig) -> None:
    ours, its = protocol.channel()
    rig.holder.attach(ours)
    worker, tunnel, pipe = Talker(its), rig.tunnel(), rig.pipe(b"bytes")
    worker.tunnel(tunnel)
    worker.pipe(pipe, 0, tunnel.key)
    worker.close()
    rig.hear()
    assert not pipe.is_held()
    assert tunnel.is_held()


def test_a_pipe_that_is_dropped_is_closed(rig: Rig) -> None:
    worker, pipes = rig.talker(1), [rig.pipe(), rig.pipe()]
    for place, pipe in enumerate(pipes):
        worker.pipe(pipe, place)
    worker.send(Kind.DROP, 0)
    worker.send(Kind.DROP, 5)
    rig.hear()
    assert [pipe.is_held() for pipe in pipes] == [False, True]


def test_a_place_that_is_used_anew_holds_the_new_pipe(rig: Rig) -> None:
    worker, tunnel, old, new = rig.talker(1), rig.tunnel(), rig.pipe(b"old"), rig.pipe(b"new")
    worker.tunnel(tunnel)
    worker.pipe(old, 3, tunnel.key)
    worker.send(Kind.DROP, 3)
    worker.pipe(new, 3, tunnel.key)
    worker.close()
    rig.hear()
    assert not old.is_held()
    adopted = rig.talker(1).adopt()
    assert os.read(adopted.fds[2], 9) == b"new"
    _close(adopted)


# ---- slots ----


def test_orphans_wait_for_whoever_serves_their_slot(rig: Rig) -> None:
    worker, tunnel = rig.talker(2, 3), rig.tunnel()
    worker.tunnel(tunnel)
    worker.close()
    others = [rig.talker(1, 3), rig.talker(3, 3), rig.talker()]
    rig.hear()
    assert all(other.hears_nothing() for other in others)
    others[2].serve(2, 3)
    rig.hear()
    adopted = others[2].adopt()
    assert adopted.number == tunnel.key
    _close(adopted)
    assert not rig.holder.placement.orphans
    assert all(other.hears_nothing() for other in others)


def test_fewer_slots_than_before(rig: Rig) -> None:
    tunnels = [rig.tunnel(key) for key in (2, 4, 6, 8)]
    for slot, tunnel in enumerate(tunnels, 1):
        worker = rig.talker(slot, 4)
        worker.tunnel(tunnel)
        worker.close()
    rig.hear()
    heirs = [rig.talker(1, 2), rig.talker(2, 2)]
    got: list[list[int]] = []
    for heir in heirs:
        messages = [heir.adopt(), heir.adopt()]
        got.append([message.number for message in messages])
        _close(*messages)
    assert got == [[2, 6], [4, 8]]


def test_the_newer_server_of_a_slot_gets_what_the_older_leaves(rig: Rig) -> None:
    older, newer, tunnel = rig.talker(1), rig.talker(), rig.tunnel()
    older.tunnel(tunnel)
    newer.serve()
    rig.hear()
    assert newer.hears_nothing()
    older.close()
    rig.hear()
    _close(newer.adopt())
    later = rig.tunnel(4)
    newer.tunnel(later)
    newer.close()
    rig.hear()
    assert sorted(rig.holder.placement.orphans) == [2, 4]


def test_tunnels_of_two_dead_servers_of_a_slot_go_to_the_third(rig: Rig) -> None:
    first, second = rig.talker(1), rig.talker(1)
    first.tunnel(rig.tunnel(2))
    second.tunnel(rig.tunnel(4))
    second.close()
    first.close()
    rig.hear()
    third = rig.talker(1)
    messages = [third.adopt(), third.adopt()]
    assert sorted(message.number for message in messages) == [2, 4]
    _close(*messages)


def test_who_cannot_take_a_tunnel_gives_it_back(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.close()
    adopter = rig.talker(1)
    adopter.adopt().close()
    adopter.send(Kind.RETURN, tunnel.key)
    rig.hear()
    assert list(rig.holder.placement.orphans) == [tunnel.key]
    assert adopter.hears_nothing()  # for a while
    other = rig.talker(1)
    adopted = other.adopt()
    assert (adopted.number, adopted.quantity) == (tunnel.key, 2)
    adopted.close()


def test_nobody_gives_back_what_is_anothers(rig: Rig) -> None:
    worker, other, tunnel = rig.talker(1, 2), rig.talker(2, 2), rig.tunnel()
    worker.tunnel(tunnel)
    rig.hear()
    other.send(Kind.RETURN, tunnel.key)
    other.send(Kind.RETURN, 99)
    rig.hear()
    assert not rig.holder.placement.orphans


# ---- slots that stay vacant ----


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
        pause = rig.holder.tidy()
        for heir in heirs:
            with suppress(BlockingIOError):
                heir.answer().close()
                return round(clock.now - began, 6)
        clock.now += pause
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
        _close(*(heir.adopt() for _ in range(left)))
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


# ---- adopters die as well ----


def _orphan_with_bytes(rig: Rig, data: bytes, way: int = TO_POD) -> Tunnel:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.pipe(rig.pipe(data), 0, tunnel.key | way)
    worker.close()
    rig.hear()
    return tunnel


def test_an_adopter_that_dies_before_it_reads_its_adoption(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"bytes")
    rig.talker(1).close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert (adopted.number, os.read(adopted.fds[2], 9)) == (tunnel.key, b"bytes")
    _close(adopted)


def test_an_adopter_that_dies_with_an_inherited_pipe_half_drained(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"first second", TO_POD)
    adopter = rig.talker(1)
    adopted = adopter.adopt()
    assert os.read(adopted.fds[2], 6) == b"first "
    adopter.pipe(rig.pipe(b"back"), 0, tunnel.key | TO_CLIENT)
    _close(adopted)
    adopter.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert [os.read(fd, 9) for fd in adopted.fds[2:]] == [b"second", b"back"]
    _close(adopted)


def test_an_adopter_that_dies_with_an_inherited_pipe_drained_and_its_own_dirty(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"old", TO_CLIENT)
    adopter = rig.talker(1)
    adopted = adopter.adopt()
    os.read(adopted.fds[2], 9)
    _close(adopted)
    adopter.pipe(rig.pipe(b"new"), 0, tunnel.key | TO_CLIENT)
    adopter.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert adopted.flags == protocol.parked(TO_CLIENT)
    assert os.read(adopted.fds[2], 9) == b"new"
    assert adopted.quantity == 2
    _close(adopted)


def _registered_anew(rig: Rig, tunnel: Tunnel, word: int) -> Talker:
    """The one who adopts a tunnel registers its inherited pipe as its own, and says that the bytes are `word`'s."""
    adopter = rig.talker(1)
    adopted = adopter.adopt()
    assert adopted.number == tunnel.key
    adopter.journal.words[0] = word
    adopter.send(Kind.PIPE, 0, fds=(adopted.fds[2],))
    _close(adopted)
    rig.hear()
    return adopter


def test_an_inherited_pipe_that_its_new_worker_registers_is_held_once(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"bytes", TO_CLIENT)
    held = rig.holder.tunnels[tunnel.key]
    adopter = _registered_anew(rig, tunnel, tunnel.key | TO_CLIENT)
    assert held.pipes == {}
    [fd] = rig.holder.channels[-1].pipes.values()
    rig.holder.tidy()
    assert not rig.holder.pipes.inherited
    adopter.close()  # its bytes are the tunnel's as before
    rig.hear()
    assert held.pipes == {TO_CLIENT: fd}
    adopted = rig.talker(1).adopt()
    assert adopted.flags == protocol.parked(TO_CLIENT)
    assert os.read(adopted.fds[2], 9) == b"bytes"
    _close(adopted)


def test_an_inherited_pipe_that_is_dropped_dirty_goes_back_to_its_tunnel(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"bytes", TO_POD)
    adopter = _registered_anew(rig, tunnel, tunnel.key | TO_POD)
    adopter.send(Kind.DROP, 0, (tunnel.key | TO_POD).to_bytes(8))
    rig.hear()
    adopter.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert os.read(adopted.fds[2], 9) == b"bytes"
    _close(adopted)


@pytest.mark.parametrize("word", [0, 2 | TO_CLIENT, 4 | TO_POD])
def test_an_inherited_pipe_stays_while_the_journal_says_otherwise(rig: Rig, word: int) -> None:
    tunnel = _orphan_with_bytes(rig, b"bytes", TO_POD)
    _registered_anew(rig, tunnel, word)
    assert list(rig.holder.tunnels[tunnel.key].pipes) == [TO_POD]


def test_an_inherited_pipe_stays_beside_another_pipe_of_its_direction(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"first", TO_POD)
    adopter = rig.talker(1)
    _close(adopter.adopt())
    adopter.journal.words[0] = tunnel.key | TO_POD
    adopter.pipe(rig.pipe(), 0, tunnel.key | TO_POD)
    rig.hear()
    assert list(rig.holder.tunnels[tunnel.key].pipes) == [TO_POD]


def test_an_inherited_pipe_stays_when_somebody_else_registers_it(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"bytes", TO_POD)
    adopter, other = rig.talker(1), rig.talker()
    adopted = adopter.adopt()
    other.journal.words[0] = tunnel.key | TO_POD
    other.send(Kind.PIPE, 0, fds=(adopted.fds[2],))
    _close(adopted)
    rig.hear()
    assert list(rig.holder.tunnels[tunnel.key].pipes) == [TO_POD]


def test_tidy_closes_inherited_pipes_that_are_drained(rig: Rig) -> None:
    worker, tunnel, drained, dirty = rig.talker(1), rig.tunnel(), rig.pipe(b"bytes"), rig.pipe(b"bytes")
    worker.tunnel(tunnel)
    worker.pipe(drained, 0, tunnel.key | TO_POD)
    worker.pipe(dirty, 1, tunnel.key | TO_CLIENT)
    worker.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    os.read(adopted.fds[2], 9)
    _close(adopted)
    assert drained.is_held()
    os.set_blocking(rig.holder.tunnels[tunnel.key].pipes[TO_POD], False)
    os.read(rig.holder.tunnels[tunnel.key].pipes[TO_POD], 9)
    rig.holder.tidy()
    assert (drained.is_held(), dirty.is_held()) == (False, True)
    os.read(rig.holder.tunnels[tunnel.key].pipes[TO_CLIENT], 99)
    rig.holder.tidy()
    assert not dirty.is_held()
    assert not rig.holder.pipes.inherited


def test_a_release_closes_inherited_pipes(rig: Rig) -> None:
    worker, tunnel, pipe = rig.talker(1), rig.tunnel(), rig.pipe(b"bytes")
    worker.tunnel(tunnel)
    worker.pipe(pipe, 0, tunnel.key)
    worker.close()
    heir = rig.talker(1)
    _close(heir.adopt())
    heir.send(Kind.RELEASE, tunnel.key)
    rig.hear()
    assert not pipe.is_held()
    assert not tunnel.is_held()
    assert not rig.holder.pipes.inherited


# ---- a slow receiver ----


def test_what_a_full_channel_cannot_take_waits(rig: Rig) -> None:
    worker = rig.talker(1)
    keys = range(2, 1202, 2)
    for key in keys:
        worker.tunnel(rig.tunnel(key))
        rig.hear()
    worker.close()
    heir = rig.talker(1)
    assert rig.holder.channels[0].outbox
    got: list[int] = []
    while len(got) < len(keys):
        message = heir.adopt()
        got.append(message.number)
        _close(message)
        rig.hear()
    assert sorted(got) == list(keys)
    assert heir.hears_nothing()
    assert not rig.holder.channels[0].outbox


def test_what_waits_for_one_who_dies_goes_to_the_next(rig: Rig) -> None:
    worker = rig.talker(1)
    keys = range(2, 1202, 2)
    for key in keys:
        worker.tunnel(rig.tunnel(key))
        rig.hear()
    worker.close()
    heir = rig.talker(1)
    assert rig.holder.channels[0].outbox
    heir.close()
    rig.hear()
    heir = rig.talker(1)
    got: list[int] = []
    while len(got) < len(keys):
        message = heir.adopt()
        got.append(message.number)
        _close(message)
        rig.hear()
    assert sorted(got) == list(keys)


# ---- nobody comes ----


def test_a_tunnel_that_nobody_comes_for_is_ended() -> None:
    with Rig(keep=0.0) as rig:
        worker, tunnel, pipe = rig.talker(1), rig.tunnel(), rig.pipe(b"bytes")
        elsewhere = os.dup(tunnel.inner_client.fileno())
        worker.tunnel(tunnel)
        worker.pipe(pipe, 0, tunnel.key)
        rig.hear()
        rig.holder.tidy()
        assert tunnel.is_held()  # its worker lives
        worker.close()
        rig.hear()
        rig.holder.tidy()
        assert tunnel.client.recv(1) == b""  # though a duplicate is there
        assert tunnel.pod.recv(1) == b""
        assert not pipe.is_held()
        assert not rig.holder.tunnels
        assert not rig.holder.placement.orphans
        assert "tunnel_abandoned" in rig.logged
        os.close(elsewhere)


def test_a_tunnel_is_kept_for_a_while(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.close()
    rig.hear()
    rig.holder.tidy()
    assert tunnel.is_held()


# ---- versions, and what is no message ----


def test_the_version_before_is_understood(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
    worker.send(Kind.TUNNEL, tunnel.key, b"passport", fds, version=protocol.VERSION - 1)
    rig.hear()
    assert list(rig.holder.tunnels) == [tunnel.key]


@pytest.mark.parametrize("version", [protocol.VERSION + 1, 255])
def test_other_versions_are_refused_and_their_descriptors_closed(rig: Rig, version: int) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
    worker.send(Kind.TUNNEL, tunnel.key, b"passport", fds, version=version)
    tunnel.inner_client.close()
    tunnel.inner_pod.close()
    rig.hear()
    assert not rig.holder.tunnels
    assert not tunnel.is_held()
    answer = worker.hear()
    assert answer is not None
    assert answer.kind == Kind.REFUSED


@pytest.mark.parametrize("version", [protocol.VERSION, protocol.VERSION - 1])
def test_each_is_told_in_its_own_version(rig: Rig, version: int) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.close()
    rig.hear()
    heir = rig.talker()
    heir.send(Kind.SERVE, 1, quantity=1, version=version)
    for kind in (Kind.COUNT, Kind.ASK):
        heir.send(kind, version=version)
    rig.hear()
    heard = [heir.answer() for _ in range(3)]
    assert [(message.kind, message.version) for message in heard] == [
        (kind, version) for kind in (Kind.TUNNEL, Kind.COUNT, Kind.LISTENERS)
    ]
    _close(*heard)


def test_the_version_that_was_heard_last_counts(rig: Rig) -> None:
    asker = rig.talker()
    for version in (protocol.VERSION - 1, protocol.VERSION):
        asker.send(Kind.COUNT, version=version)
        rig.hear()
        assert asker.answer().version == version


def test_what_is_not_understood_changes_no_version(rig: Rig) -> None:
    asker = rig.talker()
    asker.send(Kind.COUNT, version=protocol.VERSION - 1)
    asker.send(Kind.COUNT, version=protocol.VERSION + 1)
    rig.hear()
    assert rig.holder.channels[0].version == protocol.VERSION - 1


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.LISTENERS, Kind.HELLO)] + [0, 99])
def test_descriptors_that_nobody_asked_for_are_closed(rig: Rig, kind: int) -> None:
    worker = rig.talker(1)
    before = open_descriptors()
    with socket.socket() as stray:
        worker.send(kind, 1 << 40, fds=(stray.fileno(),), quantity=1)
        rig.hear()
    worker.send(Kind.DROP, 1 << 40)
    rig.hear()
    assert open_descriptors() - before == set()


@pytest.mark.parametrize("flags", [0, 1, 3])
def test_pipes_of_a_registration_that_its_flags_do_not_speak_of_are_closed(rig: Rig, flags: int) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    pipes = [rig.pipe(b"x"), rig.pipe(b"x")]
    fds = (tunnel.inner_client.fileno(), tunnel.inner_pod.fileno(), *(pipe.read_fd for pipe in pipes))
    worker.send(Kind.TUNNEL, tunnel.key, b"", fds, flags=flags)
    for pipe in pipes:
        pipe.leave()
    rig.hear()
    worker.send(Kind.RELEASE, tunnel.key)
    rig.hear()
    assert [pipe.is_held() for pipe in pipes] == [False, False]


def test_a_registration_brings_pipes_that_are_still_dirty(rig: Rig) -> None:
    worker, tunnel, pipe = rig.talker(1), rig.tunnel(), rig.pipe(b"inherited")
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno(), pipe.read_fd
    worker.send(Kind.TUNNEL, tunnel.key, b"", fds, flags=protocol.parked(TO_CLIENT), quantity=3)
    pipe.leave()
    worker.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert (adopted.flags, adopted.quantity) == (protocol.parked(TO_CLIENT), 4)
    assert os.read(adopted.fds[2], 20) == b"inherited"
    _close(adopted)


def test_what_is_no_journal_costs_the_holder_nothing(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    ours, its = protocol.channel()
    rig.holder.attach(ours)
    stranger = Talker(its)
    stranger.send(Kind.HELLO, fds=(its.fileno(),))
    rig.hear()
    stranger.close()
    rig.hear()
    assert tunnel.is_held()
    assert rig.holder.channels


def test_what_is_no_pipe_costs_the_holder_nothing(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    null = os.open(os.devnull, os.O_RDONLY)
    worker.send(Kind.PIPE, 0, fds=(null,))
    os.close(null)
    worker.close()
    rig.hear()
    assert list(rig.holder.placement.orphans) == [tunnel.key]


def test_a_place_beyond_the_journal_costs_the_holder_nothing(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    pipe = rig.pipe(b"bytes")
    worker.send(Kind.PIPE, 1 << 40, fds=(pipe.read_fd,))
    pipe.leave()
    worker.close()
    rig.hear()
    assert list(rig.holder.placement.orphans) == [tunnel.key]
    assert not pipe.is_held()


# ---- descriptors of another type than their place wants ----


def _odd(kind: str) -> int:
    """A descriptor that is no connection."""
    match kind:
        case "null":
            return os.open(os.devnull, os.O_RDWR)
        case "datagrams":
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()
        case "listener":
            sock = socket.socket()
            sock.listen()
            return sock.detach()
        case _:
            read, write = os.pipe()
            os.close(write)
            return read


@pytest.mark.parametrize("kind", ["null", "datagrams", "listener", "pipe"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_tunnel_of_what_is_no_connection_is_not_taken(rig: Rig, kind: str, place: int) -> None:
    worker, good = rig.talker(1), rig.tunnel(2)
    worker.tunnel(good)
    before = open_descriptors()
    with socket.socket() as sock:
        fds = [sock.fileno(), sock.fileno()]
        fds[place] = _odd(kind)
        worker.send(Kind.TUNNEL, 4, b"", tuple(fds))
        os.close(fds[place])
    rig.hear()
    assert list(rig.holder.tunnels) == [2]
    assert len(open_descriptors() - before) == 2  # the good one's
    assert "vault_message_lost" in rig.logged
    worker.close()
    rig.hear()
    _close(rig.talker(1).adopt())


@pytest.mark.parametrize("kind", ["null", "datagrams"])
def test_a_tunnel_with_a_pipe_that_is_none_is_not_taken(rig: Rig, kind: str) -> None:
    worker, tunnel, odd = rig.talker(1), rig.tunnel(), _odd(kind)
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno(), odd
    worker.send(Kind.TUNNEL, tunnel.key, b"", fds, flags=protocol.parked(TO_POD))
    os.close(odd)
    rig.hear()
    assert not rig.holder.tunnels


@pytest.mark.parametrize("kind", ["null", "datagrams"])
def test_a_listener_that_is_none_is_not_kept(rig: Rig, kind: str) -> None:
    supervisor, odd = rig.talker(), _odd(kind)
    supervisor.send(Kind.LISTENERS, payload=b'["odd"]', fds=(odd,))
    os.close(odd)
    rig.hear()
    assert rig.holder.listeners == (b"[]", ())


# A holder of an older program may have taken anything, and leaves it to this one.
@pytest.mark.parametrize("unsent", [False, True])
def test_one_bad_entry_keeps_no_other_from_its_next_worker(rig: Rig, unsent: bool) -> None:
    worker, tunnels = rig.talker(1), [rig.tunnel(2), rig.tunnel(4), rig.tunnel(6)]
    for tunnel in tunnels:
        worker.tunnel(tunnel)
    rig.hear()
    bad = rig.holder.tunnels[4]
    bad.pipes[TO_POD] = os.open(os.devnull, os.O_RDONLY)
    rig.holder.pipes.inherited[4] = bad
    if unsent:
        bad.passport = bytes(1 << 20)  # no message has room for it
    rig.holder.tidy()
    worker.close()
    rig.hear()
    heir = rig.talker(1)
    adopted = [heir.adopt() for _ in range(2 if unsent else 3)]
    assert {message.number for message in adopted} == ({2, 6} if unsent else {2, 4, 6})
    assert all(len(message.fds) == 2 for message in adopted)
    _close(*adopted)
    assert heir.hears_nothing()
    assert ("vault_tunnel_unfit" in rig.logged) is unsent
    assert sorted(rig.holder.tunnels) == ([2, 6] if unsent else [2, 4, 6])
    rig.holder.tidy()
    assert not rig.holder.pipes.inherited


# ---- no descriptor is left ----


def test_a_registration_that_finds_no_descriptor_costs_no_other(rig: Rig) -> None:
    worker, good, lost = rig.talker(1), rig.tunnel(2), rig.tunnel(4)
    worker.tunnel(good)
    rig.hear()
    worker.tunnel(lost)
    worker.send(Kind.COUNT)
    with no_more_descriptors():
        rig.hear()
    assert list(rig.holder.tunnels) == [good.key]
    assert not lost.is_held()
    assert good.is_held()
    refusal, answer = worker.hear(), worker.hear()
    assert refusal is not None
    assert (refusal.kind, refusal.number) == (Kind.RETURN, lost.key)
    assert answer is not None
    assert answer.quantity == 1
    assert "vault_full" in rig.logged
    later = rig.tunnel(6)
    worker.tunnel(later)
    rig.hear()
    assert sorted(rig.holder.tunnels) == [2, 6]


@pytest.mark.parametrize("version", [protocol.VERSION, protocol.VERSION - 1])
def test_who_registers_what_there_is_no_room_for_is_told(rig: Rig, version: int) -> None:
    worker, good, extra = rig.talker(1), rig.tunnel(2), [rig.tunnel(4), rig.tunnel(6)]
    worker.tunnel(good)
    worker.send(Kind.COUNT, version=version)
    rig.hear()
    worker.answer()
    room, rig.holder._most = rig.holder._most, 0
    for tunnel in extra:
        fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
        worker.send(Kind.TUNNEL, tunnel.key, b"", fds, version=version)
        tunnel.inner_client.close()
        tunnel.inner_pod.close()
    rig.hear()
    answers = [worker.answer(), worker.answer()]
    assert [(one.kind, one.number, one.version) for one in answers] == [
        (Kind.RETURN, 4, version),
        (Kind.RETURN, 6, version),
    ]
    assert rig.logged.count("vault_full") == 1
    assert [tunnel.is_held() for tunnel in (good, *extra)] == [True, False, False]
    rig.holder._most = room
    worker.tunnel(rig.tunnel(8))
    rig.hear()
    assert sorted(rig.holder.tunnels) == [2, 8]
    assert worker.hears_nothing()


def test_what_is_held_already_is_not_returned(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
    worker.send(Kind.TUNNEL, tunnel.key, b"", fds)
    rig.hear()
    rig.holder._most = 0
    worker.send(Kind.TUNNEL, tunnel.key, b"", fds)
    rig.hear()
    assert worker.hears_nothing()
    assert list(rig.holder.tunnels) == [tunnel.key]


def test_a_worker_that_dies_when_no_descriptor_is_left_is_outlived(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.pipe(rig.pipe(b"bytes"), 0, tunnel.key)
    heir = rig.talker()
    heir.serve()
    rig.hear()
    worker.close()
    with no_more_descriptors():
        rig.hear()
        rig.holder.tidy()
    adopted = heir.adopt()
    assert os.read(adopted.fds[2], 9) == b"bytes"
    _close(adopted)


# ---- listeners, and the count ----


def test_listeners_are_kept_and_given_back(rig: Rig) -> None:
    supervisor, second = rig.talker(), rig.talker()
    with socket.socket() as one, socket.socket() as other:
        for sock in (one, other):
            sock.bind(("127.0.0.1", 0))
            sock.listen()
        names = [sock.getsockname() for sock in (one, other)]
        supervisor.send(Kind.LISTENERS, payload=b'["first"]', fds=(one.fileno(),))
        supervisor.send(Kind.LISTENERS, payload=b'["second"]', fds=(other.fileno(),))
    supervisor.close()
    rig.hear()
    second.send(Kind.ASK)
    rig.hear()
    answer = second.hear()
    assert answer is not None
    assert (answer.kind, answer.payload) == (Kind.LISTENERS, b'["second"]')
    with socket.socket(fileno=answer.fds[0]) as kept:
        assert kept.getsockname() == names[1]
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(names[0])
    second.send(Kind.LISTENERS, payload=b"[]")
    rig.hear()


def _keeps(supervisor: Talker, payload: bytes = b'["first"]') -> None:
    with socket.socket() as sock:
        sock.listen()
        supervisor.send(Kind.LISTENERS, payload=payload, fds=(sock.fileno(),))


def test_a_second_supervisor_is_refused_while_the_first_is_there(rig: Rig) -> None:
    first, second = rig.talker(), rig.talker()
    _keeps(first)
    rig.hear()
    before = open_descriptors()
    second.send(Kind.ASK, version=protocol.VERSION - 1)
    _keeps(second, b'["second"]')
    rig.hear()
    answers = [second.answer(), second.answer()]
    assert [(one.kind, one.flags, one.version) for one in answers] == [
        (Kind.REFUSED, 1, protocol.VERSION - 1),
        (Kind.REFUSED, 1, protocol.VERSION),
    ]
    assert open_descriptors() - before == set()
    assert rig.holder.listeners[0] == b'["first"]'
    second.send(Kind.COUNT)  # a look is free
    first.send(Kind.ASK)
    _keeps(first, b'["anew"]')
    rig.hear()
    assert second.answer().kind == Kind.COUNT
    answer = first.answer()
    assert (answer.kind, answer.payload) == (Kind.LISTENERS, b'["first"]')
    answer.close()
    assert rig.holder.listeners[0] == b'["anew"]'
    first.send(Kind.LISTENERS, payload=b"[]")
    rig.hear()


def test_who_only_asks_keeps_nobody_out(rig: Rig) -> None:
    first, second = rig.talker(), rig.talker()
    for supervisor in (first, second):
        supervisor.send(Kind.ASK)
        rig.hear()
        assert supervisor.answer().kind == Kind.LISTENERS


def test_a_refusal_for_another_reason_is_another(rig: Rig) -> None:
    worker = rig.talker()
    worker.send(Kind.ASK, version=protocol.VERSION + 1)
    rig.hear()
    answer = worker.answer()
    assert (answer.kind, answer.flags) == (Kind.REFUSED, 0)


# One program follows another: the end of the first may be read after the question of the second.
def test_a_supervisor_whose_end_has_not_been_read_yet_keeps_nobody_out(rig: Rig) -> None:
    first, second = rig.talker(), rig.talker()
    _keeps(first)
    rig.hear()
    first.close()
    second.send(Kind.ASK)
    hear = rig.selector.get_key(rig.holder.channels[1].sock).data
    hear(selectors.EVENT_READ)
    answer = second.answer()
    assert (answer.kind, answer.payload) == (Kind.LISTENERS, b'["first"]')
    answer.close()
    second.send(Kind.LISTENERS, payload=b"[]")
    rig.hear()
    assert rig.holder.listeners == (b"[]", ())


def test_tunnels_are_counted(rig: Rig) -> None:
    worker, asker = rig.talker(1), rig.talker()
    for key in (2, 4):
        worker.tunnel(rig.tunnel(key))
    asker.send(Kind.COUNT)
    rig.hear()
    answer = asker.hear()
    assert answer is not None
    assert (answer.kind, answer.quantity) == (Kind.COUNT, 2)
