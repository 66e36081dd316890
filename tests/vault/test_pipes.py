"""Whose the pipes of a dead worker are: real pipes, and a journal by hand."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from splicer.vault.held import Channel, Held
from splicer.vault.journal import Journal, JournalReader
from splicer.vault.pipes import Pipes
from splicer.vault.protocol import TO_CLIENT, TO_POD
from tests.kit.descriptors import none_left_open


class Dead:
    """A worker with a journal, its tunnels, and pipes that have no writer any more."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.tunnels: dict[int, Held] = {}
        self.pipes = Pipes(self.tunnels)
        self.channel = Channel(socket.socket())
        self.channel.journal = JournalReader(os.dup(self.journal.fd))

    def tunnel(self, key: int) -> Held:
        """One that it owns."""
        held = self.tunnels[key] = Held(key, b"", -1, -1, 1, 0)
        held.owner = self.channel
        return held

    def pipe(self, place: int, word: int, data: bytes) -> int:
        """A pipe at a place, of which the journal says this word; its read end."""
        reader, writer = os.pipe()
        os.write(writer, data)
        os.close(writer)
        self.journal.words[place] = word
        self.pipes.add(self.channel, place, reader)
        return reader

    def die(self) -> int:
        """Be sorted; how many pipes had bytes."""
        dirty = self.pipes.sort(self.channel)
        self.channel.journal = None  # it is closed
        return dirty

    def close(self) -> None:
        """All that is left."""
        self.die()
        self.channel.sock.close()
        self.journal.close()
        for held in self.tunnels.values():
            for fd in held.pipes.values():
                os.close(fd)


@pytest.fixture
def dead() -> Iterator[Dead]:
    with none_left_open():
        dead = Dead()
        yield dead
        dead.close()


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_bytes_go_with_the_tunnel_and_the_direction_that_the_journal_names(dead: Dead) -> None:
    held, other = dead.tunnel(2), dead.tunnel(4)
    to_pod = dead.pipe(0, held.key | TO_POD, b"a")
    to_client = dead.pipe(1, held.key | TO_CLIENT, b"b")
    assert dead.die() == 2
    assert held.pipes == {TO_POD: to_pod, TO_CLIENT: to_client}
    assert (other.pipes, dead.pipes.inherited) == ({}, {2: held})
    assert dead.channel.pipes == {}


def test_an_empty_pipe_is_nobodys(dead: Dead) -> None:
    held = dead.tunnel(2)
    fd = dead.pipe(0, held.key, b"")
    assert dead.die() == 0
    assert not _is_open(fd)
    assert held.pipes == {}


@pytest.mark.parametrize("case", ["unknown tunnel", "another's tunnel", "no journal"])
def test_bytes_that_are_nobodys_for_sure_go_to_nobody(dead: Dead, case: str) -> None:
    held = dead.tunnel(2)
    fd = dead.pipe(0, 4 if case == "unknown tunnel" else held.key, b"a")
    if case == "another's tunnel":
        held.owner = None
    if case == "no journal":
        cast("JournalReader", dead.channel.journal).close()
        dead.channel.journal = None
    assert dead.die() == 0
    assert not _is_open(fd)
    assert held.pipes == {}


def test_a_pipe_that_is_closed_dirty_is_kept_until_its_call_is_released(dead: Dead) -> None:
    held = dead.tunnel(2)
    fd = dead.pipe(0, held.key, b"a")
    dead.pipes.drop(dead.channel, 0, held.key)
    assert held.pipes == {TO_POD: fd}
    dead.pipes.drop(dead.channel, 0, held.key)  # nobody knows the place any more
    assert held.pipes == {TO_POD: fd}


def test_a_place_that_is_used_again_closes_the_pipe_before(dead: Dead) -> None:
    first = dead.pipe(0, 0, b"")
    second = dead.pipe(0, 0, b"")
    assert not _is_open(first) or first == second
    assert dead.channel.pipes == {0: second}


def test_a_newer_pipe_of_a_direction_replaces_the_older(dead: Dead) -> None:
    held = dead.tunnel(2)
    older, newer = dead.pipe(0, held.key, b"a"), dead.pipe(1, held.key, b"a")
    dead.die()
    assert held.pipes == {TO_POD: newer}
    assert not _is_open(older)


def test_an_inherited_pipe_that_its_new_worker_has_is_held_once(dead: Dead) -> None:
    held = dead.tunnel(2)
    inherited = dead.pipe(0, held.key, b"a")
    dead.pipes.drop(dead.channel, 0, held.key)
    dead.journal.words[3] = held.key
    mine = os.dup(inherited)
    dead.pipes.add(dead.channel, 3, mine)
    assert held.pipes == {}
    assert not _is_open(inherited)
    assert dead.channel.pipes == {3: mine}


def test_drained_pipes_are_closed_in_time(dead: Dead) -> None:
    held = dead.tunnel(2)
    to_pod, to_client = dead.pipe(0, held.key | TO_POD, b"a"), dead.pipe(1, held.key | TO_CLIENT, b"b")
    dead.die()
    os.read(to_pod, 1)
    dead.pipes.close_drained()
    assert held.pipes == {TO_CLIENT: to_client}
    os.read(to_client, 1)
    dead.pipes.close_drained()
    assert (held.pipes, dead.pipes.inherited) == ({}, {})


def test_a_tunnel_that_is_over_has_inherited_nothing(dead: Dead) -> None:
    held = dead.tunnel(2)
    dead.pipe(0, held.key, b"a")
    dead.die()
    dead.pipes.forget(held)
    dead.pipes.close_drained()
    assert dead.pipes.inherited == {}
