"""What a vault that comes back is told, and in which order."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from attrs import evolve

from splicer.vault import protocol
from splicer.vault.protocol import Kind, Message
from splicer.worker.vault_inventory import Inventory, KnownTunnel
from splicer.worker.vault_outbox import Outbox
from tests.vault.rig import Rig


@pytest.fixture
def ends(rig: Rig) -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, its = protocol.channel()
    with ours, its:
        yield ours, its


def _known(rig: Rig, key: int, adoptions: int = 0) -> KnownTunnel:
    tunnel = rig.tunnel(key)
    return KnownTunnel(b"passport", tunnel.inner_client, tunnel.inner_pod, adoptions)


def _hear(sock: socket.socket) -> Message:
    message = protocol.receive(sock)
    assert message is not None
    message.close()
    return message


def _heard(sock: socket.socket) -> list[tuple[int, int]]:
    messages = []
    try:
        while True:
            message = _hear(sock)
            messages.append((message.kind, message.number))
    except BlockingIOError:
        return messages


# A tunnel's bytes may be in a pipe: a vault that knows the tunnel alone would hand it over with a hole.
async def test_slot_then_pipes_then_tunnels(rig: Rig, ends: tuple[socket.socket, socket.socket]) -> None:
    inventory = Inventory(protocol.pack)
    inventory.tunnels = {2: _known(rig, 2), 4: _known(rig, 4)}
    inventory.pipes = {7: rig.pipe().read_fd}
    inventory.serves = 3, 5
    inventory.tell(Outbox(ends[1], lambda _: None))
    assert _heard(ends[0]) == [(Kind.SERVE, 3), (Kind.PIPE, 7), (Kind.TUNNEL, 2), (Kind.TUNNEL, 4)]


async def test_nothing_is_nothing_to_say(ends: tuple[socket.socket, socket.socket]) -> None:
    inventory = Inventory(protocol.pack)
    inventory.tell(Outbox(ends[1], lambda _: None))
    assert _heard(ends[0]) == []
    assert inventory.serving() is None


def test_a_registration_carries_both_sockets_and_what_the_next_worker_needs(
    rig: Rig, ends: tuple[socket.socket, socket.socket]
) -> None:
    packet = Inventory(protocol.pack).registration(6, evolve(_known(rig, 6, adoptions=4), crashes=2))
    protocol.send(ends[1], *packet)
    message = _hear(ends[0])
    assert protocol.crashes(message.flags) == 2
    assert (message.kind, message.number, message.payload, message.quantity) == (Kind.TUNNEL, 6, b"passport", 4)
    assert len(message.fds) == 2


def test_a_pipe_that_is_closed_is_not_said(rig: Rig) -> None:
    inventory = Inventory(protocol.pack)
    inventory.pipes[7] = rig.pipe().read_fd
    assert inventory.pipe(7) is not None
    assert inventory.pipe(8) is None
