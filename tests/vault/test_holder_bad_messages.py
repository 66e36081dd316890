"""Other versions, what is no message, and descriptors of another type than their place wants."""

from __future__ import annotations

import os
import socket

import pytest

from splicer.vault import protocol
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind
from tests.kit.descriptors import open_descriptors
from tests.vault.rig import Rig, Talker, close_messages

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
    close_messages(*heard)


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
    assert (adopted.flags, adopted.quantity) == (protocol.parked(TO_CLIENT) | protocol.crashed(1), 4)
    assert os.read(adopted.fds[2], 20) == b"inherited"
    close_messages(adopted)


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
    close_messages(rig.talker(1).adopt())


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
    close_messages(*adopted)
    assert heir.hears_nothing()
    assert ("vault_tunnel_unfit" in rig.logged) is unsent
    assert sorted(rig.holder.tunnels) == ([2, 6] if unsent else [2, 4, 6])
    rig.holder.tidy()
    assert not rig.holder.pipes.inherited
