from __future__ import annotations

import os

from splicer.vault import protocol
from splicer.vault.protocol import Kind
from tests.vault.rig import Rig, close_messages

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
    close_messages(adopted)
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
        close_messages(*messages)
    assert got == [[2, 6], [4, 8]]


def test_the_newer_server_of_a_slot_gets_what_the_older_leaves(rig: Rig) -> None:
    older, newer, tunnel = rig.talker(1), rig.talker(), rig.tunnel()
    older.tunnel(tunnel)
    newer.serve()
    rig.hear()
    assert newer.hears_nothing()
    older.close()
    rig.hear()
    close_messages(newer.adopt())
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
    close_messages(*messages)


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
        close_messages(message)
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
        close_messages(message)
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


# ---- how often its worker has crashed ----


def test_each_crash_under_a_tunnel_is_counted_for_the_next_worker(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    counted = []
    for _ in range(5):
        worker.close()
        worker = rig.talker(1)
        rig.hear()
        message = worker.adopt()
        counted.append(protocol.crashes(message.flags))
        close_messages(message)
    assert counted == [1, 2, 3, 3, 3]


def test_to_leave_on_purpose_is_no_crash(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.send(Kind.LEAVE)
    worker.close()
    rig.hear()
    heir = rig.talker(1)
    rig.hear()
    message = heir.adopt()
    assert (protocol.crashes(message.flags), message.quantity) == (0, 1)
    close_messages(message)


def test_a_new_vault_hears_of_earlier_crashes(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
    worker.send(Kind.TUNNEL, tunnel.key, b"passport", fds, flags=protocol.crashed(1))
    worker.close()
    rig.hear()
    heir = rig.talker(1)
    rig.hear()
    message = heir.adopt()
    assert protocol.crashes(message.flags) == 2
    close_messages(message)
