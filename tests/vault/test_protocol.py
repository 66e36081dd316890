from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.vault import protocol
from splicer.vault.protocol import LONGEST, Kind, ProtocolError
from tests.kit.descriptors import no_more_descriptors, none_left_open

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends(_no_descriptor_stays: None) -> Iterator[Ends]:
    one, other = protocol.channel()
    with one, other:
        yield one, other


@given(
    st.sampled_from(Kind),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=300),
    st.integers(0, 4),
)
def test_what_is_said_is_what_is_heard(
    kind: Kind, number: int, flags: int, quantity: int, payload: bytes, count: int
) -> None:
    one, other = protocol.channel()
    with none_left_open(), one, other, Path(os.devnull).open() as file:
        data = protocol.pack(kind, number, payload, flags=flags, quantity=quantity)
        protocol.send(one, data, (file.fileno(),) * count)
        message = protocol.receive(other)
        assert message is not None
        assert message[:6] == (protocol.VERSION, kind, flags, quantity, number, payload)
        assert [os.fstat(fd).st_rdev for fd in message.fds] == [os.fstat(file.fileno()).st_rdev] * count
        assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in message.fds)
        message.close()


def test_nothing_there_is_no_end(ends: Ends) -> None:
    with pytest.raises(BlockingIOError):
        protocol.receive(ends[1])


def test_the_end_is_none(ends: Ends) -> None:
    ends[0].close()
    assert protocol.receive(ends[1]) is None


def test_a_full_channel_is_told_and_loses_nothing(ends: Ends) -> None:
    count = 0
    with suppress(BlockingIOError):
        for count in range(100_000):
            protocol.send(ends[0], protocol.pack(Kind.RELEASE, count))
    assert 100 < count < 99_999
    for number in range(count):
        message = protocol.receive(ends[1])
        assert message is not None
        assert message.number == number


def test_what_a_dead_sender_left_is_read_past_its_reset(ends: Ends) -> None:
    one, other = ends
    protocol.send(other, protocol.pack(Kind.COUNT))
    protocol.send(one, protocol.pack(Kind.RELEASE, 4), (one.fileno(),))
    one.close()  # with a message unread
    message = protocol.receive(other)
    assert message is not None
    assert message.number == 4
    message.close()
    assert protocol.receive(other) is None


@pytest.mark.parametrize("data", [b"\1", b"x" * (LONGEST + 1)])
def test_what_is_no_message_is_refused_with_its_descriptors(ends: Ends, data: bytes) -> None:
    protocol.send(ends[0], data, (ends[0].fileno(),))
    with pytest.raises(ProtocolError):
        protocol.receive(ends[1])


@pytest.mark.parametrize("free", [0, 1])
def test_descriptors_that_cannot_be_taken_are_told(ends: Ends, free: int) -> None:
    protocol.send(ends[0], protocol.pack(Kind.TUNNEL, 2), (ends[0].fileno(), ends[0].fileno()))
    protocol.send(ends[0], protocol.pack(Kind.RELEASE, 2))
    room = [os.dup(0) for _ in range(free)]
    with no_more_descriptors():
        for fd in room:
            os.close(fd)
        with pytest.raises(ProtocolError):
            protocol.receive(ends[1])
    message = protocol.receive(ends[1])
    assert message is not None
    assert message.kind == Kind.RELEASE


@pytest.mark.parametrize("ways", [(), (protocol.TO_POD,), (protocol.TO_POD, protocol.TO_CLIENT)])
@pytest.mark.parametrize(("times", "read"), [(0, 0), (1, 1), (3, 3), (9, 3)])
def test_crashes_and_parked_pipes_share_the_flags(ways: tuple[int, ...], times: int, read: int) -> None:
    flags = sum(protocol.parked(way) for way in ways) | protocol.crashed(times)
    assert protocol.crashes(flags) == read
    assert {way for way in (0, 1) if flags & protocol.parked(way)} == set(ways)
    assert protocol.crashed(times, version=1) == 0


@pytest.mark.parametrize(
    ("version", "understood"),
    [
        (protocol.VERSION, True),
        (protocol.VERSION - 1, True),
        (protocol.VERSION + 1, False),
        (protocol.VERSION - 2, False),
    ],
)
def test_its_own_version_and_the_one_before(ends: Ends, version: int, understood: bool) -> None:
    protocol.send(ends[0], bytes([version % 256]) + protocol.pack(Kind.ASK)[1:])
    message = protocol.receive(ends[1])
    assert message is not None
    assert message.understood is understood
