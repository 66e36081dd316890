"""The plain end of a TLS connection, with this test in the tls process's place."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio

from splicer.net.plain_stream import PlainStream
from splicer.quality import Quality
from splicer.tls_facts import TlsFacts


class Leg:
    """An entry of the TLS table."""

    facts = TlsFacts("TLSv1.3", "a cipher")
    end = "eof"
    has_ended = False
    received: int | None = 0
    silent: float | None = 0.0

    def __init__(self) -> None:
        self.wishes: list[str] = []

    def quality(self) -> Quality | None:
        return Quality(0.02, 3)

    def wish_close(self) -> None:
        self.wishes.append("close")

    def wish_reset(self) -> None:
        self.wishes.append("reset")


class Plain:
    """Both ends."""

    def __init__(self) -> None:
        ours, self.its = socket.socketpair()
        for sock in (ours, self.its):
            sock.setblocking(False)
        self.leg = Leg()
        self.stream = PlainStream(ours, self.leg)

    async def take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            await trio.lowlevel.wait_readable(self.its)
            data += self.its.recv(65536)
        return data


@pytest.fixture
def plain() -> Iterator[Plain]:
    plain = Plain()
    yield plain
    for sock in (plain.stream.sock, plain.its):
        sock.close()


async def test_more_than_there_is_room_for_is_sent_in_order(plain: Plain, nursery: trio.Nursery) -> None:
    data = bytes(range(256)) * 8192
    nursery.start_soon(plain.stream.send_all, data)
    with trio.fail_after(10):
        assert await plain.take(len(data)) == data


async def test_a_dead_tls_process_is_an_error(plain: Plain) -> None:
    plain.its.close()
    with pytest.raises(trio.BrokenResourceError):
        await plain.stream.send_all(b"nobody reads it")
    assert plain.stream.is_gone()


def test_a_peer_that_has_ended_is_gone(plain: Plain) -> None:
    assert not plain.stream.is_gone()
    plain.its.send(b"unread")
    assert not plain.stream.is_gone()
    plain.its.shutdown(socket.SHUT_WR)
    assert plain.stream.is_gone()


async def test_it_is_flushed_when_all_is_taken(plain: Plain) -> None:
    assert plain.stream.is_flushed()
    await plain.stream.send_all(b"160 bytes")
    assert not plain.stream.is_flushed()
    plain.its.recv(3)
    assert not plain.stream.is_flushed()
    plain.its.recv(100)
    assert plain.stream.is_flushed()


async def test_what_nobody_will_take_is_waited_for_no_longer(plain: Plain) -> None:
    await plain.stream.send_all(b"160 bytes")
    plain.its.close()
    assert plain.stream.is_flushed()


async def test_a_close_is_told_once_and_reaches_the_other_end(plain: Plain) -> None:
    with plain.stream.sock.dup():  # the vault's
        plain.stream.close()
        plain.stream.close()
        assert plain.its.recv(1) == b""
    assert plain.leg.wishes == ["close"]


async def test_a_reset_is_a_wish_and_reaches_the_other_end(plain: Plain) -> None:
    with plain.stream.sock.dup():
        plain.stream.reset()
        plain.stream.reset()
        assert plain.its.recv(1) == b""
    assert plain.leg.wishes == ["reset"]
    plain.stream.close()
    assert plain.leg.wishes == ["reset"], "it is closed already"


async def test_an_abandoned_one_says_nothing(plain: Plain) -> None:
    with plain.stream.sock.dup():
        plain.stream.abandon()
        with pytest.raises(BlockingIOError):
            plain.its.recv(1)
    assert plain.leg.wishes == []


def test_the_quality_is_the_tables(plain: Plain) -> None:
    assert plain.stream.quality() == Quality(0.02, 3)
