"""From the vault's message to a tunnel that a worker can go on with."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import pytest

from splicer.vault import protocol
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind, Message
from splicer.worker.adopted import read_adopted
from tests.vault.rig import Rig


def _message(fds: Sequence[int], flags: int = 0) -> Message:
    """One that has come, with duplicates of these."""
    ours, its = protocol.channel()
    with ours, its:
        protocol.send(ours, protocol.pack(Kind.TUNNEL, 6, b"passport", flags=flags, quantity=3), tuple(fds))
        message = protocol.receive(its)
    assert message is not None
    return message


@pytest.mark.parametrize("ways", [[], [TO_POD], [TO_CLIENT], [TO_POD, TO_CLIENT]])
def test_sockets_and_the_pipes_of_the_directions_that_it_names(rig: Rig, ways: list[int]) -> None:
    tunnel, pipes = rig.tunnel(), [rig.pipe(b"%d" % way) for way in ways]
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno(), *(pipe.read_fd for pipe in pipes)
    adopted = read_adopted(_message(fds, sum(protocol.parked(way) for way in ways)))
    with adopted.client, adopted.pod:
        assert (adopted.key, adopted.adoptions, adopted.passport) == (6, 3, b"passport")
        assert not adopted.client.getblocking()
        assert not adopted.pod.getblocking()
        assert {way: os.read(fd, 9) for way, fd in adopted.pipes.items()} == {way: b"%d" % way for way in ways}
    for fd in adopted.pipes.values():
        os.close(fd)


def test_what_is_no_tunnel_leaves_its_descriptors_to_the_message(rig: Rig) -> None:
    with socket.socket() as listener:
        listener.listen()
        tunnel, pipe = rig.tunnel(), rig.pipe(b"x")
        good = tunnel.inner_client.fileno()
        for fds, flags in (
            ((good,), 0),
            ((good, pipe.read_fd), 0),
            ((good, listener.fileno()), 0),
            ((good, good), protocol.parked(TO_POD)),
            ((good, good, pipe.read_fd), 0),
        ):
            message = _message(fds, flags)
            with pytest.raises((ValueError, OSError)):
                read_adopted(message)
            for fd in message.fds:
                os.fstat(fd)
            message.close()
