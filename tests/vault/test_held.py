from __future__ import annotations

import os
import socket

import pytest

from splicer.vault import protocol
from splicer.vault.held import Channel, Held, unread
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind, parked
from tests.vault.rig import Rig, Tunnel


def _held(tunnel: Tunnel) -> Held:
    return Held(tunnel.key, b"passport", tunnel.inner_client.detach(), tunnel.inner_pod.detach(), 1, 3)


@pytest.mark.parametrize("ways", [[], [TO_POD], [TO_CLIENT], [TO_POD, TO_CLIENT], [TO_CLIENT, TO_POD]])
def test_its_message_brings_the_pipes_that_hold_bytes(rig: Rig, ways: list[int]) -> None:
    held = _held(rig.tunnel())
    pipes = {way: rig.pipe(b"bytes" if way in ways else b"") for way in (TO_CLIENT, TO_POD)}
    held.pipes = {way: os.dup(pipe.read_fd) for way, pipe in pipes.items()}
    data, fds = held.message(protocol.VERSION)
    assert fds == (held.client, held.pod, *[held.pipes[way] for way in sorted(ways)])
    assert int.from_bytes(data[2:4]) == sum(parked(way) for way in ways)
    held.close()


@pytest.mark.parametrize("version", [protocol.VERSION, protocol.VERSION - 1])
def test_its_message_is_in_the_version_of_its_new_owner(rig: Rig, version: int) -> None:
    held = _held(rig.tunnel())
    data, _ = held.message(version)
    assert data[0] == version
    held.close()


# ---- whether the other side is gone ----


def _channel(rig: Rig) -> tuple[Channel, socket.socket]:
    ours, its = protocol.channel()
    rig.own(ours)
    rig.own(its)
    return Channel(ours), its


def test_who_says_nothing_is_there(rig: Rig) -> None:
    channel, _ = _channel(rig)
    assert not channel.is_gone()


def test_who_has_closed_is_gone_when_all_has_been_read(rig: Rig) -> None:
    channel, its = _channel(rig)
    with socket.socket() as sock:
        protocol.send(its, protocol.pack(Kind.LISTENERS), (sock.fileno(),))
    its.close()
    assert not channel.is_gone()
    message = protocol.receive(channel.sock)  # to look at it has taken nothing
    assert message is not None
    assert (message.kind, len(message.fds)) == (Kind.LISTENERS, 1)
    message.close()
    assert channel.is_gone()


def test_who_has_closed_without_having_read_is_gone(rig: Rig) -> None:
    channel, its = _channel(rig)
    protocol.send(channel.sock, protocol.pack(Kind.COUNT))
    its.close()
    assert channel.is_gone()


def test_shut_ends_connections_that_others_hold_too(rig: Rig) -> None:
    tunnel = rig.tunnel()
    held = Held(2, b"", os.dup(tunnel.inner_client.fileno()), os.dup(tunnel.inner_pod.fileno()), 1, 0)
    held.shut()
    held.shut()
    assert (tunnel.client.recv(1), tunnel.pod.recv(1)) == (b"", b"")
    held.close()


def test_unread_counts_bytes(rig: Rig) -> None:
    pipe = rig.pipe(b"12345")
    assert unread(pipe.read_fd) == 5
    os.read(pipe.read_fd, 3)
    assert unread(pipe.read_fd) == 2
