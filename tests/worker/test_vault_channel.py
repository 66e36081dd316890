"""The channel to a vault that is there, goes, and comes back: real sockets, virtual time."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.vault import protocol
from splicer.vault.protocol import Kind, Message
from splicer.worker.vault_channel import VaultChannel, VersionError
from splicer.worker.vault_outbox import Outbox
from tests.kit.descriptors import no_more_descriptors, none_left_open

_LONG_SECONDS = 10.0  # seconds


class Owner:
    """A worker's side: what was heard and told, in order; it greets with a COUNT."""

    def __init__(self, sock: socket.socket | None, path: Path | None = None) -> None:
        self.heard: list[int] = []
        self.told: list[str] = []
        self.ticks = 0
        self.channel = VaultChannel(
            sock, path, greet=self._greet, heard=self._hear, ended=lambda: self.told.append("ended"), told=self._tell
        )

    def _greet(self, outbox: Outbox) -> None:
        outbox.post(lambda: (protocol.pack(Kind.COUNT), ()))

    def _hear(self, message: Message) -> None:
        self.heard.append(message.number)

    def _tell(self, event: str) -> None:
        self.told.append(event)

    async def tick(self) -> None:
        """What runs while there is a connection."""
        while True:
            self.ticks += 1
            await trio.sleep(1)


@pytest.fixture(autouse=True)
def _no_leak() -> Iterator[None]:
    with none_left_open():
        yield


@asynccontextmanager
async def _running(sock: socket.socket | None, path: Path | None = None) -> AsyncIterator[Owner]:
    owner = Owner(sock, path)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.channel.run, owner.tick)
            await wait_all_tasks_blocked()
            yield owner
            nursery.cancel_scope.cancel()
    finally:
        owner.channel.close()


@asynccontextmanager
async def _listening(path: Path) -> AsyncIterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.setblocking(False)
        listener.bind(str(path))
        listener.listen()
        yield listener
    path.unlink()  # noqa: ASYNC240 - it's quick


async def _accepted(listener: socket.socket) -> socket.socket:
    await trio.lowlevel.wait_readable(listener)
    sock, _ = listener.accept()
    sock.setblocking(False)
    await wait_all_tasks_blocked()
    return sock


def _kind(sock: socket.socket) -> int | None:
    message = protocol.receive(sock)
    return None if message is None else message.kind


async def test_it_greets_before_it_says_that_it_is_connected() -> None:
    ours, its = protocol.channel()
    with ours:
        async with _running(its) as owner:
            assert _kind(ours) == Kind.COUNT
            assert owner.told == ["vault_connected"]
            assert (owner.channel.connected, owner.channel.stalled, owner.channel.comes_back) == (True, False, False)


async def test_all_that_the_vault_says_is_heard_in_order_while_others_have_their_turns() -> None:
    ours, its = protocol.channel()
    with ours:
        async with _running(its) as owner:
            for number in range(100):
                ours.send(protocol.pack(Kind.RETURN, number))
            seen = set()
            while len(owner.heard) < 100:
                seen.add(len(owner.heard))
                await trio.lowlevel.checkpoint()
            assert owner.heard == list(range(100))
            assert len(seen) > 3


# One that was in the supervisor, or handed over, can't be found again.
async def test_without_a_path_a_vault_that_is_gone_is_gone_for_good(autojump_clock: MockClock) -> None:
    ours, its = protocol.channel()
    owner = Owner(its)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(owner.channel.run, owner.tick)
        await wait_all_tasks_blocked()
        ours.close()
        await trio.sleep(_LONG_SECONDS)
        assert not nursery.child_tasks, "there is nothing to wait for"
    assert owner.told == ["vault_connected", "ended", "vault_lost"]
    assert not owner.channel.connected


async def test_with_a_path_it_is_looked_for_until_it_is_back(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "vault"
    async with _running(None, path) as owner:
        assert owner.told == ["vault_lost"]
        assert owner.ticks == 0, "nothing runs for a vault that is away"
        await trio.sleep(_LONG_SECONDS)
        for _ in range(2):
            async with _listening(path) as listener:
                with await _accepted(listener) as sock:
                    assert _kind(sock) == Kind.COUNT
                    assert owner.channel.connected
            await wait_all_tasks_blocked()
            assert not owner.channel.connected
        assert owner.told == ["vault_lost", *["vault_connected", "ended", "vault_lost"] * 2]
        ticks = owner.ticks
        await trio.sleep(_LONG_SECONDS)
        assert owner.ticks == ticks > 0


async def test_one_that_refuses_is_left_for_good(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with _listening(tmp_path / "vault") as listener, _running(None, tmp_path / "vault") as owner:
        with await _accepted(listener) as sock:
            sock.send(protocol.pack(Kind.REFUSED))
            await trio.sleep(_LONG_SECONDS)
            assert owner.told == ["vault_connected", "ended", "vault_refused"]
            assert not owner.channel.comes_back
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_one_that_speaks_what_is_not_understood_ends_the_worker() -> None:
    ours, its = protocol.channel()
    ours.send(protocol.pack(Kind.COUNT, version=protocol.VERSION + 1))
    owner = Owner(its)
    with ours, pytest.RaisesGroup(VersionError, allow_unwrapped=True, flatten_subgroups=True):
        await owner.channel.run(owner.tick)
    owner.channel.close()
    assert owner.heard == []


async def test_one_that_takes_nothing_is_kept_and_told_of(autojump_clock: MockClock) -> None:
    ours, its = protocol.channel()
    with ours:
        async with _running(its) as owner:
            for _ in range(1000):
                owner.channel.post((protocol.pack(Kind.COUNT), ()))
            await trio.sleep(_LONG_SECONDS)
            assert owner.told == ["vault_connected", "vault_lost"]
            assert (owner.channel.connected, owner.channel.stalled) == (False, True)
            ours.close()
            await trio.sleep(_LONG_SECONDS)
            assert owner.told == ["vault_connected", "vault_lost", "ended"], "it is not lost twice"


async def test_who_has_nobody_to_tell_is_called_back_at_once() -> None:
    async with _running(None) as owner:
        calls: list[str] = []
        owner.channel.post((protocol.pack(Kind.COUNT), ()), lambda: calls.append("told"))
        assert calls == ["told"]


async def test_who_hangs_up_is_silent_about_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with _listening(tmp_path / "vault") as listener, _running(None, tmp_path / "vault") as owner:
        with await _accepted(listener):
            owner.channel.close()
            await trio.sleep(_LONG_SECONDS)
            assert owner.told == ["vault_connected", "ended"]
            assert not owner.channel.connected
        with pytest.raises(BlockingIOError):
            listener.accept()


# What was lost with its descriptors is given back, so that another worker is asked.
async def test_a_message_whose_descriptors_were_lost_is_given_back() -> None:
    ours, its = protocol.channel()
    with ours:
        async with _running(its) as owner:
            assert _kind(ours) == Kind.COUNT
            one, other = socket.socketpair()
            with one, other, no_more_descriptors():
                protocol.send(ours, protocol.pack(Kind.TUNNEL, 6), (one.fileno(), other.fileno()))
                await wait_all_tasks_blocked()
            message = protocol.receive(ours)
            assert message is not None
            assert (message.kind, message.number) == (Kind.RETURN, 6)
            assert owner.heard == []
