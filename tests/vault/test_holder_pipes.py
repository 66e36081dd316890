"""Pipes with bytes in them: a dead worker leaves them, and its adopter dies as well."""

from __future__ import annotations

import os

import pytest

from splicer.vault import protocol
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind
from tests.vault.rig import Rig, Talker, Tunnel, close_messages

_WAYS = [TO_POD, TO_CLIENT]


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
        2: (protocol.crashed(1), b"2", 1),
        4: (protocol.parked(way) | protocol.crashed(1), b"4", 1),
    }
    assert os.read(messages[4].fds[2], 9) == b"bytes"
    close_messages(*messages.values())


def test_both_directions_at_once(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.pipe(rig.pipe(b"to client"), 0, tunnel.key | TO_CLIENT)
    worker.pipe(rig.pipe(b"to pod"), 1, tunnel.key | TO_POD)
    worker.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert [os.read(fd, 9) for fd in adopted.fds[2:]] == [b"to pod", b"to client"]
    close_messages(adopted)


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
    close_messages(adopted)


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
    close_messages(adopted)


def test_an_adopter_that_dies_with_an_inherited_pipe_half_drained(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"first second", TO_POD)
    adopter = rig.talker(1)
    adopted = adopter.adopt()
    assert os.read(adopted.fds[2], 6) == b"first "
    adopter.pipe(rig.pipe(b"back"), 0, tunnel.key | TO_CLIENT)
    close_messages(adopted)
    adopter.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert [os.read(fd, 9) for fd in adopted.fds[2:]] == [b"second", b"back"]
    close_messages(adopted)


def test_an_adopter_that_dies_with_an_inherited_pipe_drained_and_its_own_dirty(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"old", TO_CLIENT)
    adopter = rig.talker(1)
    adopted = adopter.adopt()
    os.read(adopted.fds[2], 9)
    close_messages(adopted)
    adopter.pipe(rig.pipe(b"new"), 0, tunnel.key | TO_CLIENT)
    adopter.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert adopted.flags == protocol.parked(TO_CLIENT) | protocol.crashed(2)
    assert os.read(adopted.fds[2], 9) == b"new"
    assert adopted.quantity == 2
    close_messages(adopted)


def _registered_anew(rig: Rig, tunnel: Tunnel, word: int) -> Talker:
    """The one who adopts a tunnel registers its inherited pipe as its own, and says that the bytes are `word`'s."""
    adopter = rig.talker(1)
    adopted = adopter.adopt()
    assert adopted.number == tunnel.key
    adopter.journal.words[0] = word
    adopter.send(Kind.PIPE, 0, fds=(adopted.fds[2],))
    close_messages(adopted)
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
    assert adopted.flags == protocol.parked(TO_CLIENT) | protocol.crashed(2)
    assert os.read(adopted.fds[2], 9) == b"bytes"
    close_messages(adopted)


def test_an_inherited_pipe_that_is_dropped_dirty_goes_back_to_its_tunnel(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"bytes", TO_POD)
    adopter = _registered_anew(rig, tunnel, tunnel.key | TO_POD)
    adopter.send(Kind.DROP, 0, (tunnel.key | TO_POD).to_bytes(8))
    rig.hear()
    adopter.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert os.read(adopted.fds[2], 9) == b"bytes"
    close_messages(adopted)


@pytest.mark.parametrize("word", [0, 2 | TO_CLIENT, 4 | TO_POD])
def test_an_inherited_pipe_stays_while_the_journal_says_otherwise(rig: Rig, word: int) -> None:
    tunnel = _orphan_with_bytes(rig, b"bytes", TO_POD)
    _registered_anew(rig, tunnel, word)
    assert list(rig.holder.tunnels[tunnel.key].pipes) == [TO_POD]


def test_an_inherited_pipe_stays_beside_another_pipe_of_its_direction(rig: Rig) -> None:
    tunnel = _orphan_with_bytes(rig, b"first", TO_POD)
    adopter = rig.talker(1)
    close_messages(adopter.adopt())
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
    close_messages(adopted)
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
    close_messages(adopted)
    assert drained.is_held()
    os.set_blocking(rig.holder.tunnels[tunnel.key].pipes[TO_POD], False)
    os.read(rig.holder.tunnels[tunnel.key].pipes[TO_POD], 9)
    rig.holder.tidy()
    assert (drained.is_held(), dirty.is_held()) == (False, True)
    os.read(rig.holder.tunnels[tunnel.key].pipes[TO_CLIENT], 99)
    rig.holder.tidy()
    assert not dirty.is_held()
    assert not rig.holder.pipes.inherited


def test_it_has_to_be_tidied_often_only_while_there_is_something_to_tidy(rig: Rig) -> None:
    worker, tunnel, pipe = rig.talker(1), rig.tunnel(), rig.pipe(b"bytes")
    worker.tunnel(tunnel)
    worker.pipe(pipe, 0, tunnel.key | TO_POD)
    rig.hear()
    assert rig.holder.tidy_interval == 1.0
    worker.close()
    rig.hear()
    assert rig.holder.tidy_interval == 0.1, "a tunnel has no worker"
    other = rig.talker(2, 2)
    assert rig.holder.tidy_interval == 0.02, "the other worker may have to take it"
    other.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert rig.holder.tidy_interval == 0.1, "a pipe of the dead worker holds bytes"
    os.read(adopted.fds[2], 9)
    close_messages(adopted)
    rig.holder.tidy()
    assert rig.holder.tidy_interval == 1.0


def test_a_release_closes_inherited_pipes(rig: Rig) -> None:
    worker, tunnel, pipe = rig.talker(1), rig.tunnel(), rig.pipe(b"bytes")
    worker.tunnel(tunnel)
    worker.pipe(pipe, 0, tunnel.key)
    worker.close()
    heir = rig.talker(1)
    close_messages(heir.adopt())
    heir.send(Kind.RELEASE, tunnel.key)
    rig.hear()
    assert not pipe.is_held()
    assert not tunnel.is_held()
    assert not rig.holder.pipes.inherited
