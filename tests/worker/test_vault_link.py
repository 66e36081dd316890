from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.relay.mover import Mover
from splicer.relay.stock import PipeStock
from splicer.vault import protocol
from splicer.vault.protocol import TO_CLIENT, Kind, Message
from splicer.worker.adopted import Adopted
from splicer.worker.vault_channel import VersionError
from splicer.worker.vault_link import VaultLink
from tests.kit.descriptors import no_more_descriptors
from tests.relay.harness import until
from tests.vault.rig import Pipe, Rig, Tunnel

_ROOT = Path(__file__).resolve().parent.parent.parent
_MANY = 900  # messages: more than a channel takes
_LONG_SECONDS = 0.1  # seconds: longer than anything gathers


class Linked:
    """A link, and what it told."""

    def __init__(self, sock: socket.socket | None, path: Path | None) -> None:
        self.adopted: list[Adopted] = []
        self.told: list[str] = []
        self.link = VaultLink(sock, path, self.adopted.append, self.told.append)

    async def register(self, tunnel: Tunnel) -> None:
        await self.link.register(tunnel.key, b"passport", tunnel.inner_client, tunnel.inner_pod)

    def add(self, place: int, pipe: Pipe) -> None:
        self.link.add_pipe(place, pipe.read_fd, 0)

    @property
    def waits(self) -> bool:
        """Whether anything that was said has not left."""
        outbox = self.link._channel.outbox
        return outbox is not None and not outbox.is_empty

    def fill(self) -> int:
        """Say something until the channel is full: the RELEASE of 1, 2, …; how many."""
        count = 0
        while not self.waits:
            count += 1
            self.link.release(count, soon=True)
        return count


@asynccontextmanager
async def _linked(sock: socket.socket | None, path: Path | None = None) -> AsyncIterator[Linked]:
    async with _closing(sock, path) as linked, trio.open_nursery() as nursery:
        nursery.start_soon(linked.link.run)
        await wait_all_tasks_blocked()
        yield linked
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _closing(sock: socket.socket | None, path: Path | None = None) -> AsyncIterator[Linked]:
    """A link that nobody runs."""
    linked = Linked(sock, path)
    try:
        yield linked
    finally:
        linked.link.close()
        linked.link.journal.close()
        for adopted in linked.adopted:
            adopted.client.close()
            adopted.pod.close()
            for fd in adopted.pipes.values():
                os.close(fd)


class Vault:
    """The vault's end, by hand."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def hear(self) -> Message:
        message = protocol.receive(self.sock)
        assert message is not None
        return message

    def heard(self) -> list[tuple[int, int]]:
        """Kind and number of all that is there; descriptors are closed."""
        messages = []
        try:
            while True:
                message = self.hear()
                messages.append((message.kind, message.number))
                message.close()
        except BlockingIOError:
            return messages

    async def hear_all(self, linked: Linked) -> list[tuple[int, int]]:
        """The same, until the worker has nothing left to say."""
        messages = self.heard()
        while not linked.link.settled:
            await trio.sleep(0.001)
            messages += self.heard()
        return messages + self.heard()


@asynccontextmanager
async def _both() -> AsyncIterator[tuple[Linked, Vault]]:
    ours, its = protocol.channel()
    with ours:
        async with _linked(its) as linked:
            vault = Vault(ours)
            assert vault.heard() == [(Kind.HELLO, 0)]
            yield linked, vault


@asynccontextmanager
async def _listening(path: Path) -> AsyncIterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.setblocking(False)
        listener.bind(str(path))
        listener.listen()
        yield listener
    path.unlink()  # noqa: ASYNC240 - it's quick


async def _accepted(listener: socket.socket) -> Vault:
    with trio.fail_after(20):
        await trio.lowlevel.wait_readable(listener)
    sock, _ = listener.accept()
    sock.setblocking(False)
    await wait_all_tasks_blocked()
    return Vault(sock)


# ---- what it says ----


async def test_a_registration_brings_both_sockets_and_the_passport(rig: Rig) -> None:
    tunnel = rig.tunnel(2**64 - 2)
    async with _both() as (linked, vault):
        await linked.register(tunnel)
        message = vault.hear()
        assert (message.kind, message.number, message.payload, message.flags) == (
            Kind.TUNNEL,
            tunnel.key,
            b"passport",
            0,
        )
        inner = tunnel.inner_client, tunnel.inner_pod
        assert [os.fstat(fd).st_ino for fd in message.fds] == [os.fstat(sock.fileno()).st_ino for sock in inner]
        message.close()


async def test_the_journal_is_shared(rig: Rig) -> None:
    async with _both_in(rig) as linked:
        linked.link.words[9] = 77
        journal = rig.holder.channels[0].journal
        assert journal is not None
        assert journal.word(9) == 77


@asynccontextmanager
async def _both_in(rig: Rig) -> AsyncIterator[Linked]:
    """A link to a real holder."""
    ours, its = protocol.channel()
    rig.holder.attach(ours)
    async with _linked(its) as linked:
        rig.hear()
        yield linked


async def test_a_full_channel_delays_a_registration_and_nobody_else(rig: Rig) -> None:
    async with _both() as (linked, vault), trio.open_nursery() as nursery:
        count = linked.fill()
        nursery.start_soon(linked.register, rig.tunnel(2))
        nursery.start_soon(linked.register, rig.tunnel(4))
        await trio.sleep(0.01)
        assert len(nursery.child_tasks) == 2
        linked.link.release(0, soon=True)  # the hub's side is never held up
        messages = []
        while nursery.child_tasks:
            messages += vault.heard()
            await trio.lowlevel.checkpoint()
        messages += vault.heard()
        assert messages[: count + 1] == [*((Kind.RELEASE, number) for number in range(1, count + 1)), (Kind.RELEASE, 0)]
        assert sorted(messages[count + 1 :]) == [(Kind.TUNNEL, 2), (Kind.TUNNEL, 4)]


async def test_a_pipe_that_cannot_be_told_is_refused_at_once(rig: Rig) -> None:
    async with _both() as (linked, vault):
        linked.fill()
        with pytest.raises(BlockingIOError):
            linked.add(0, rig.pipe())
        await vault.hear_all(linked)
        linked.add(0, rig.pipe())
        assert vault.heard() == [(Kind.PIPE, 0)]


async def test_a_pipe_is_known_before_the_registration_that_follows(rig: Rig) -> None:
    async with _both() as (linked, vault):
        linked.add(3, rig.pipe())
        await linked.register(rig.tunnel(2))
        linked.link.drop_pipe(3)
        linked.link.release(2, soon=True)
        assert vault.heard() == [(Kind.PIPE, 3), (Kind.TUNNEL, 2), (Kind.DROP, 3), (Kind.RELEASE, 2)]


@asynccontextmanager
async def _stocked(link: VaultLink) -> AsyncIterator[PipeStock]:
    """The relay's stock of pipes, which is kept filled; nobody moves a byte."""
    mover = Mover(link.words)
    stock = PipeStock(link, mover, lambda: None)
    stock.reserve()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stock.run)
        yield stock
        nursery.cancel_scope.cancel()
    stock.close()
    mover.close()


async def test_pipes_that_were_made_without_a_vault_are_told_to_the_one_that_comes_before_any_tunnel(
    rig: Rig, tmp_path: Path
) -> None:
    async with _linked(None, tmp_path / "vault") as linked, _stocked(linked.link) as stock:
        stock.look()
        await wait_all_tasks_blocked()
        assert stock.idle >= 4, "calls go on unprotected"
        await linked.register(rig.tunnel(2))
        async with _listening(tmp_path / "vault") as listener:
            vault = await _accepted(listener)
            heard = vault.heard()
            vault.sock.close()
        pipes = [(Kind.PIPE, place) for place in range(stock.idle + 1)]
        assert heard == [(Kind.HELLO, 0), *pipes, (Kind.TUNNEL, 2)]


async def test_a_stock_that_waits_for_a_full_channel_is_filled_when_the_vault_is_lost() -> None:
    async with _both() as (linked, vault), _stocked(linked.link) as stock:
        linked.fill()
        stock.look()
        await wait_all_tasks_blocked()
        assert stock.idle == 0, "the vault would not know them"
        vault.sock.close()
        await until(lambda: stock.idle)
        assert linked.told[-1] == "vault_lost"


async def test_no_pipe_beyond_the_journal(rig: Rig) -> None:
    async with _both() as (linked, vault):
        with pytest.raises(OSError, match="full"):
            linked.add(1 << 16, rig.pipe())
        assert vault.heard() == []


# ---- releases ----


async def test_releases_gather_into_one_message(autojump_clock: MockClock) -> None:
    async with _both() as (linked, vault):
        assert linked.link.settled
        for key in (2, 4, 6):
            linked.link.release(key)
        await wait_all_tasks_blocked()
        assert vault.heard() == []
        assert not linked.link.settled  # nothing of it has been told
        await trio.sleep(_LONG_SECONDS)
        message = vault.hear()
        assert (message.kind, message.number, protocol.keys(message.payload)) == (Kind.RELEASE, 2, (4, 6))
        assert vault.heard() == []
        assert linked.link.settled
        linked.link.release(8)
        await trio.sleep(_LONG_SECONDS)
        assert vault.heard() == [(Kind.RELEASE, 8)]


async def test_a_release_that_something_waits_for_takes_the_others_along() -> None:
    async with _both() as (linked, vault):
        linked.link.release(2)
        linked.link.release(4, soon=True)
        message = vault.hear()
        assert (message.kind, message.number, protocol.keys(message.payload)) == (Kind.RELEASE, 2, (4,))
        assert linked.link.settled


async def test_very_many_releases_do_not_wait_for_more() -> None:
    async with _both() as (linked, vault):
        for key in range(1000):
            linked.link.release(key)
        told: list[int] = []
        for _ in range(3):  # a message has only so much room
            message = vault.hear()
            told += [message.number, *protocol.keys(message.payload)]
        assert told == list(range(768))
        assert vault.heard() == []
        assert not linked.link.settled


async def test_who_finishes_says_what_has_gathered() -> None:
    async with _both() as (linked, vault):
        linked.link.finish()
        assert vault.heard() == []
        linked.link.release(2)
        linked.link.release(4)
        linked.link.finish()
        message = vault.hear()
        assert (message.number, protocol.keys(message.payload)) == (2, (4,))
        linked.link.finish()
        assert vault.heard() == []


async def test_who_finishes_without_a_vault_says_nothing() -> None:
    async with _linked(None) as linked:
        linked.link.release(2)
        linked.link.finish()
        assert not linked.waits


async def test_what_has_gathered_for_a_vault_that_is_gone_is_not_told_to_the_next(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "vault"
    async with _listening(path) as listener, _linked(None, path) as linked:
        vault = await _accepted(listener)
        linked.link.release(2)
        vault.sock.close()
        vault = await _accepted(listener)
        await trio.sleep(_LONG_SECONDS)
        assert vault.heard() == [(Kind.HELLO, 0)]
        assert linked.link.settled
        vault.sock.close()


async def test_the_holder_lets_go_of_all_that_is_released(rig: Rig) -> None:
    async with _both_in(rig) as linked:
        tunnels = [rig.tunnel(key) for key in (2, 4, 6, 8)]
        for tunnel in tunnels:
            await linked.register(tunnel)
            tunnel.inner_client.close()
            tunnel.inner_pod.close()
        for tunnel in tunnels[:3]:
            linked.link.release(tunnel.key)
        linked.link.finish()
        rig.hear()
        assert [tunnel.is_held() for tunnel in tunnels] == [False, False, False, True]


# ---- who wants to know that it was told ----


class Notes:
    """Who was called back, in order."""

    def __init__(self, link: VaultLink) -> None:
        self.calls: list[str] = []
        self._link = link

    def release(self, key: int, *, soon: bool = False) -> None:
        self._link.release(
            key,
            soon=soon,
            then=lambda: self.calls.append(f"then {key}"),
            after=lambda: self.calls.append(f"after {key}"),
        )


async def test_who_releases_is_called_back_when_the_message_has_left(autojump_clock: MockClock) -> None:
    async with _both() as (linked, vault):
        notes = Notes(linked.link)
        for key in (2, 4):
            notes.release(key)
        await wait_all_tasks_blocked()
        assert (vault.heard(), notes.calls) == ([], [])
        await trio.sleep(_LONG_SECONDS)
        assert vault.heard() == [(Kind.RELEASE, 2)]
        assert notes.calls == ["then 2", "then 4", "after 2", "after 4"]
        await trio.sleep(_LONG_SECONDS)
        linked.link.finish()
    assert len(notes.calls) == 4, "and never again"


async def test_a_release_that_something_waits_for_calls_all_back_at_once() -> None:
    async with _both() as (linked, vault):
        notes = Notes(linked.link)
        notes.release(2)
        notes.release(4, soon=True)
        assert notes.calls == ["then 2", "then 4", "after 2", "after 4"]
        assert vault.heard() == [(Kind.RELEASE, 2)]


async def test_very_many_releases_are_called_back_message_by_message() -> None:
    async with _both() as (linked, _):
        notes = Notes(linked.link)
        for key in range(300):
            notes.release(key)
        assert notes.calls == [*(f"then {key}" for key in range(256)), *(f"after {key}" for key in range(256))]


# Until the message is in the channel a worker that is killed leaves the tunnel to the next, which tells of its end too.
async def test_with_a_full_channel_nobody_is_called_back_before_the_message_has_left() -> None:
    async with _both() as (linked, vault):
        linked.fill()
        notes = Notes(linked.link)
        notes.release(10_000, soon=True)
        notes.release(10_002)
        await trio.sleep(_LONG_SECONDS)
        assert notes.calls == []
        keys = await vault.hear_all(linked)
        assert (Kind.RELEASE, 10_000) in keys
        assert sorted(notes.calls) == ["after 10000", "after 10002", "then 10000", "then 10002"]


async def test_a_full_channel_whose_vault_is_lost_calls_back_once(rig: Rig) -> None:
    ours, its = protocol.channel()
    async with _linked(its) as linked:
        linked.fill()
        notes = Notes(linked.link)
        notes.release(10_000, soon=True)
        notes.release(10_002)
        ours.close()
        await trio.sleep(_LONG_SECONDS)
        assert linked.told[-1] == "vault_lost"
        assert sorted(notes.calls) == ["after 10000", "after 10002", "then 10000", "then 10002"]


async def test_without_a_vault_one_is_called_back_at_once() -> None:
    async with _linked(None) as linked:
        notes = Notes(linked.link)
        notes.release(2)
        assert notes.calls == ["then 2", "after 2"]
        notes.release(4, soon=True)
        linked.link.finish()
        assert notes.calls == ["then 2", "after 2", "then 4", "after 4"]


@pytest.mark.parametrize("how", ["gone", "refused"])
async def test_one_is_called_back_when_the_vault_is_lost(how: str, autojump_clock: MockClock) -> None:
    ours, its = protocol.channel()
    async with _linked(its) as linked:
        notes = Notes(linked.link)
        notes.release(2)
        notes.release(4)
        if how == "refused":
            ours.send(protocol.pack(Kind.REFUSED))
        else:
            ours.close()
        await wait_all_tasks_blocked()
        assert notes.calls == ["then 2", "then 4", "after 2", "after 4"]
        await trio.sleep(_LONG_SECONDS)
        assert len(notes.calls) == 4
        notes.release(6)
        assert notes.calls[4:] == ["then 6", "after 6"]
    ours.close()


async def test_a_vault_that_comes_back_calls_nobody_back_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "vault"
    async with _listening(path) as listener, _linked(None, path) as linked:
        vault = await _accepted(listener)
        notes = Notes(linked.link)
        notes.release(2)
        vault.sock.close()
        vault = await _accepted(listener)
        notes.release(4)
        await trio.sleep(_LONG_SECONDS)
        assert notes.calls == ["then 2", "after 2", "then 4", "after 4"]
        vault.sock.close()


async def test_who_finishes_calls_back_once() -> None:
    async with _both() as (linked, vault):
        notes = Notes(linked.link)
        notes.release(2)
        notes.release(4)
        for _ in range(2):
            linked.link.finish()
            assert notes.calls == ["then 2", "then 4", "after 2", "after 4"]
        assert vault.heard() == [(Kind.RELEASE, 2)]


async def test_one_who_is_called_back_may_release_another() -> None:
    async with _both() as (linked, vault):
        calls: list[int] = []

        def then() -> None:
            calls.append(2)
            linked.link.release(4, then=lambda: calls.append(4))

        linked.link.release(2, then=then)
        linked.link.finish()
        assert calls == [2]
        linked.link.finish()
        assert calls == [2, 4]
        assert vault.heard() == [(Kind.RELEASE, 2), (Kind.RELEASE, 4)]


# ---- a vault that is full ----


async def test_a_vault_that_is_full_is_asked_again_after_a_while(rig: Rig, autojump_clock: MockClock) -> None:
    async with _both_in(rig) as linked:
        room, rig.holder._most = rig.holder._most, 0
        await linked.register(rig.tunnel(2))  # nobody knows yet; it goes on
        rig.hear()
        await wait_all_tasks_blocked()
        rig.holder._most = room
        for key in (4, 6):
            with pytest.raises(OSError, match="no descriptor") as raised:
                await linked.register(rig.tunnel(key))
            assert raised.value.errno == errno.EMFILE
        rig.hear()
        assert not rig.holder.tunnels
        assert linked.link.connected
        await trio.sleep(1)
        await linked.register(rig.tunnel(8))
        rig.hear()
        assert list(rig.holder.tunnels) == [8]


async def test_what_a_full_vault_has_refused_is_offered_again(
    rig: Rig, tmp_path: Path, autojump_clock: MockClock
) -> None:
    ours, its = protocol.channel()
    rig.holder.attach(ours)
    async with _linked(its, tmp_path / "vault") as linked:
        room, rig.holder._most = rig.holder._most, 0
        for key in range(2, 82, 2):
            await linked.register(rig.tunnel(key))
        rig.hear()
        await wait_all_tasks_blocked()
        linked.link.release(2)
        assert not linked.link.settled
        await trio.sleep(1.5)
        rig.hear()
        await wait_all_tasks_blocked()
        assert not rig.holder.tunnels
        rig.holder._most = room
        for _ in range(3):
            await trio.sleep(1)
            rig.hear()
        await wait_all_tasks_blocked()
        assert sorted(rig.holder.tunnels) == list(range(4, 82, 2))
        assert linked.link.settled


# ---- a vault that takes nothing ----


async def test_a_vault_that_takes_nothing_keeps_one_call_waiting_for_a_second_and_no_other(
    rig: Rig, autojump_clock: MockClock
) -> None:
    async with _both() as (linked, vault):
        count = linked.fill()
        began = trio.current_time()
        await linked.register(rig.tunnel(2))
        assert trio.current_time() == pytest.approx(began + 1, abs=0.1)
        await wait_all_tasks_blocked()
        assert (linked.link.connected, linked.told) == (False, ["vault_connected", "vault_lost"])
        waited = trio.current_time()
        for key in (4, 6, 8):
            await linked.register(rig.tunnel(key))
        linked.link.release(6)  # what ends meanwhile is never told
        with pytest.raises(BlockingIOError):
            linked.add(0, rig.pipe())
        assert not await linked.link.wait()
        assert trio.current_time() == waited
        assert not linked.link.settled
        await trio.sleep(3600)
        assert linked.told == ["vault_connected", "vault_lost"]
        heard = await vault.hear_all(linked)
        assert heard == [
            *((Kind.RELEASE, number) for number in range(1, count + 1)),
            *((Kind.TUNNEL, key) for key in (2, 4, 8)),
        ]
        await trio.sleep(_LONG_SECONDS)
        assert (linked.link.connected, linked.told[2:]) == (True, ["vault_connected"])
        linked.add(0, rig.pipe())


async def test_who_releases_is_called_back_though_the_vault_takes_nothing(autojump_clock: MockClock) -> None:
    async with _both() as (linked, vault):
        linked.fill()
        notes = Notes(linked.link)
        notes.release(10_000, soon=True)
        await trio.sleep(0.5)
        assert notes.calls == []
        await trio.sleep(1)
        assert notes.calls == ["then 10000", "after 10000"]
        notes.release(10_002, soon=True)
        notes.release(10_004)
        await trio.sleep(_LONG_SECONDS)
        assert notes.calls[2:] == ["then 10002", "after 10002", "then 10004", "after 10004"]
        heard = await vault.hear_all(linked)
        assert heard[-3:] == [(Kind.RELEASE, number) for number in (10_000, 10_002, 10_004)]
        await trio.sleep(_LONG_SECONDS)
        assert len(notes.calls) == 6


@pytest.mark.parametrize("comes_back", [False, True])
async def test_one_that_takes_nothing_and_then_is_gone_is_told_once(
    rig: Rig, tmp_path: Path, autojump_clock: MockClock, comes_back: bool
) -> None:
    path, tunnels = tmp_path / "vault", [rig.tunnel(10_000), rig.tunnel(10_002)]
    async with _listening(path) as listener, _linked(None, path) as linked:
        vault = await _accepted(listener)
        await linked.register(tunnels[0])
        linked.fill()
        await linked.register(tunnels[1])
        vault.sock.close()
        await trio.sleep(_LONG_SECONDS)
        assert linked.told == ["vault_connected", "vault_lost"]
        if comes_back:
            vault = await _accepted(listener)
            assert vault.heard() == [(Kind.HELLO, 0), (Kind.TUNNEL, 10_000), (Kind.TUNNEL, 10_002)]
            assert linked.told[2:] == ["vault_connected"]
            vault.sock.close()


# It reads what was said before and while it stood still, in order: no call has two owners then, and none is forgotten.
async def test_a_holder_that_stood_still_knows_in_the_end_what_there_is(rig: Rig, autojump_clock: MockClock) -> None:
    async with _both_in(rig) as linked:
        linked.link.serve(1, 1)
        tunnels = [rig.tunnel(key) for key in range(2, 1202, 2)]
        for tunnel in tunnels:
            await linked.register(tunnel)
        assert linked.told == ["vault_connected", "vault_lost"]
        over = [*tunnels[10:30], *tunnels[580:590]]
        for tunnel in over:
            linked.link.release(tunnel.key)
        while not linked.link.settled:
            rig.hear()
            await trio.sleep(0.01)
        rig.hear()
        assert linked.told[2:] == ["vault_connected"]
        assert set(rig.holder.tunnels) == {tunnel.key for tunnel in tunnels} - {tunnel.key for tunnel in over}
        [channel] = rig.holder.channels
        assert set(channel.keys) == set(rig.holder.tunnels)
        assert not rig.holder.placement.orphans


# ---- adoption ----


@pytest.mark.parametrize("ways", [[], [0], [1], [0, 1]])
async def test_a_tunnel_is_adopted_with_its_pipes(rig: Rig, ways: list[int]) -> None:
    tunnel, pipes = rig.tunnel(), {way: rig.pipe(b"%d" % way) for way in ways}
    async with _both() as (linked, vault):
        fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno(), *(pipes[way].read_fd for way in ways)
        flags = sum(protocol.parked(way) for way in ways)
        protocol.send(vault.sock, protocol.pack(Kind.TUNNEL, 6, b"passport", flags=flags, quantity=3), fds)
        await wait_all_tasks_blocked()
        [adopted] = linked.adopted
        assert (adopted.key, adopted.adoptions, adopted.passport) == (6, 3, b"passport")
        assert {way: os.read(fd, 9) for way, fd in adopted.pipes.items()} == {way: b"%d" % way for way in ways}
        assert not adopted.client.getblocking()
        adopted.client.send(b"to the client")
        assert tunnel.client.recv(99) == b"to the client"


# It must not end the worker, whose other calls would move to the next one, which would be handed the same again.
async def test_what_is_no_tunnel_is_given_up_and_costs_no_other(rig: Rig) -> None:
    tunnel, null = rig.tunnel(), os.open(os.devnull, os.O_RDWR)
    async with _both() as (linked, vault):
        fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
        for key, given, flags in (
            (2, (fds[0], null), 0),
            (4, (null, fds[1]), 0),
            (6, fds[:1], 0),
            (8, fds, protocol.parked(TO_CLIENT)),
            (10, fds, 0),
        ):
            protocol.send(vault.sock, protocol.pack(Kind.TUNNEL, key, flags=flags), given)
        os.close(null)
        await wait_all_tasks_blocked()
        assert [adopted.key for adopted in linked.adopted] == [10]
        assert linked.told == ["vault_connected", *["adoption_failed"] * 4]
        linked.link.finish()
        message = vault.hear()
        assert {message.number, *protocol.keys(message.payload)} == {2, 4, 6, 8}


async def test_many_adoptions_leave_others_their_turn(rig: Rig) -> None:
    tunnel = rig.tunnel()
    async with _both() as (linked, vault):
        for key in range(100):
            fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
            protocol.send(vault.sock, protocol.pack(Kind.TUNNEL, key), fds)
        seen = set()
        while len(linked.adopted) < 100:
            seen.add(len(linked.adopted))
            await trio.lowlevel.checkpoint()
        assert len(seen) > 3


# A worker that finds no descriptor for somebody else's call must not leave its own to another while it relays them.
async def test_an_adoption_that_finds_no_descriptor_costs_it_no_call_of_its_own(rig: Rig) -> None:
    async with _both_in(rig) as linked:
        linked.link.serve(1, 1)
        own, foreign = rig.tunnel(2), rig.tunnel(4)
        await linked.register(own)
        dead = rig.talker()
        dead.tunnel(foreign)
        rig.hear()
        dead.close()
        with no_more_descriptors():
            rig.hear()
            await wait_all_tasks_blocked()
        rig.hear()
        assert rig.holder.tunnels[own.key].owner is not None
        assert linked.link.connected


# ---- a vault that is refused, or gone ----


async def test_a_vault_that_is_gone_is_told_and_calls_go_on(rig: Rig) -> None:
    ours, its = protocol.channel()
    async with _linked(its) as linked:
        assert linked.link.connected
        ours.close()
        await wait_all_tasks_blocked()
        assert linked.told == ["vault_connected", "vault_lost"]
        assert not linked.link.connected
        linked.add(0, rig.pipe())
        await linked.register(rig.tunnel())
        linked.link.drop_pipe(0)
        linked.link.release(2)


@pytest.mark.parametrize("version", [protocol.VERSION + 1, protocol.VERSION, protocol.VERSION - 1])
async def test_a_vault_that_refuses_is_left_for_good(rig: Rig, version: int, tmp_path: Path) -> None:
    async with _listening(tmp_path / "vault") as listener, _linked(None, tmp_path / "vault") as linked:
        vault = await _accepted(listener)
        vault.sock.send(protocol.pack(Kind.REFUSED, version=version))
        await wait_all_tasks_blocked()
        assert linked.told == ["vault_connected", "vault_refused"]
        assert not linked.link.connected
        await linked.register(rig.tunnel())
        with pytest.raises(BlockingIOError):
            listener.accept()
        vault.sock.close()


# It may have been given tunnels that it knows nothing of: they must go to one that understands.
@pytest.mark.parametrize("kind", [Kind.TUNNEL, Kind.COUNT])
async def test_a_vault_that_says_what_is_not_understood_ends_the_worker(rig: Rig, kind: Kind) -> None:
    tunnel = rig.tunnel()
    ours, its = protocol.channel()
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
    protocol.send(ours, protocol.pack(kind, tunnel.key, version=protocol.VERSION + 1), fds)
    tunnel.inner_client.close()
    tunnel.inner_pod.close()
    with ours, pytest.RaisesGroup(VersionError, allow_unwrapped=True, flatten_subgroups=True):
        async with _closing(its) as linked:
            with trio.fail_after(20):
                await linked.link.run()
    assert not linked.adopted
    assert not tunnel.is_held()


async def test_a_registration_that_waits_goes_on_when_the_vault_is_gone(rig: Rig) -> None:
    ours, its = protocol.channel()
    async with _linked(its) as linked, trio.open_nursery() as nursery:
        linked.fill()
        nursery.start_soon(linked.register, rig.tunnel())
        await trio.sleep(0.01)
        assert nursery.child_tasks
        ours.close()


async def test_who_leaves_says_nothing_more(rig: Rig) -> None:
    async with _both() as (linked, vault):
        linked.add(0, rig.pipe())
        vault.heard()
        linked.link.close()
        linked.link.drop_pipe(0)
        linked.link.release(2)
        await wait_all_tasks_blocked()
        assert protocol.receive(vault.sock) is None
        assert linked.told == ["vault_connected"]


# ---- a vault that comes back ----


async def test_everything_is_registered_again(rig: Rig, tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "vault"
    async with _linked(None, path) as linked:
        assert linked.told == ["vault_lost"]
        linked.link.serve(3, 5)
        tunnels, pipes = [rig.tunnel(2), rig.tunnel(4), rig.tunnel(6)], [rig.pipe(), rig.pipe()]
        for place, pipe in enumerate(pipes):
            linked.add(place, pipe)
        for tunnel in tunnels:
            await linked.register(tunnel)
        linked.link.release(4)
        linked.link.drop_pipe(0)
        everything = [(Kind.HELLO, 0), (Kind.SERVE, 3), (Kind.PIPE, 1), (Kind.TUNNEL, 2), (Kind.TUNNEL, 6)]
        for _ in range(2):
            async with _listening(path) as listener:
                vault = await _accepted(listener)
                assert vault.heard() == everything
            vault.sock.close()
            await wait_all_tasks_blocked()
        assert linked.told == ["vault_lost", "vault_connected", "vault_lost", "vault_connected", "vault_lost"]
        linked.link.release(2)
        linked.link.release(6)
        linked.link.drop_pipe(1)


async def test_what_was_adopted_is_registered_again_after_the_pipe_that_it_still_drains(
    rig: Rig, tmp_path: Path
) -> None:
    path, tunnel, pipe = tmp_path / "vault", rig.tunnel(), rig.pipe(b"bytes")
    async with _listening(path) as listener, _linked(None, path) as linked:
        vault = await _accepted(listener)
        fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno(), pipe.read_fd
        data = protocol.pack(Kind.TUNNEL, 2, b"p", flags=protocol.parked(TO_CLIENT), quantity=7)
        protocol.send(vault.sock, data, fds)
        await wait_all_tasks_blocked()
        [adopted] = linked.adopted
        linked.link.remember(adopted)
        linked.link.add_pipe(3, adopted.pipes[TO_CLIENT], 0)
        vault.sock.close()
        vault = await _accepted(listener)
        for kind, number in ((Kind.HELLO, 0), (Kind.PIPE, 3)):
            message = vault.hear()
            assert (message.kind, message.number) == (kind, number)
            message.close()
        message = vault.hear()
        assert (message.kind, message.number, message.payload, message.quantity) == (Kind.TUNNEL, 2, b"p", 7)
        message.close()
        vault.sock.close()


# A number that was closed while its message waited may be another call's socket by now.
async def test_no_stale_descriptor_is_ever_sent(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "vault"
    async with _linked(None, path) as linked:
        tunnels, pipes = [Tunnel(key) for key in range(2, 2 * _MANY, 2)], [Pipe() for _ in range(40)]
        for tunnel in tunnels:
            await linked.register(tunnel)
        for place, pipe in enumerate(pipes):
            linked.add(place, pipe)
        nodes = {
            tunnel.key: [os.fstat(sock.fileno()).st_ino for sock in (tunnel.inner_client, tunnel.inner_pod)]
            for tunnel in tunnels
        }
        async with _listening(path) as listener:
            vault = await _accepted(listener)
            assert linked.waits  # most of it
            over = {tunnel.key for tunnel in tunnels[::2]}
            for tunnel in tunnels[::2]:
                tunnel.close()
                linked.link.release(tunnel.key)
            later = [Tunnel(key) for key in range(10_000, 10_000 + 2 * len(over), 2)]  # their numbers are used again
            heard: dict[int, list[int]] = {}
            released = set()
            while True:
                all_said = linked.link.settled
                try:
                    message = vault.hear()
                except BlockingIOError:
                    if all_said:
                        break
                    await trio.sleep(0.001)
                    continue
                if message.kind == Kind.TUNNEL:
                    heard[message.number] = [os.fstat(fd).st_ino for fd in message.fds]
                elif message.kind == Kind.RELEASE:
                    released |= {message.number, *protocol.keys(message.payload)}
                message.close()
            assert all(nodes[key] == found for key, found in heard.items())
            assert set(heard) >= set(nodes) - over
            assert set(heard) & over < over  # some were spared
            assert released == set(heard) & over
            vault.sock.close()
        for tunnel in (*tunnels, *later):
            tunnel.close()
        for pipe in pipes:
            pipe.close()


async def test_a_pipe_that_is_closed_while_it_waits_is_not_sent(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "vault"
    async with _linked(None, path) as linked:
        pipes = [Pipe() for _ in range(_MANY)]
        for place, pipe in enumerate(pipes):
            linked.add(place, pipe)
        async with _listening(path) as listener:
            vault = await _accepted(listener)
            last = len(pipes) - 1
            pipes[last].close()
            linked.link.drop_pipe(last)
            heard = await vault.hear_all(linked)
            assert (Kind.PIPE, last) not in heard
            assert (Kind.PIPE, last - 1) in heard
            vault.sock.close()
        for pipe in pipes[:last]:
            pipe.close()


async def test_a_vault_that_hangs_up_at_once_is_not_stormed(tmp_path: Path, autojump_clock: MockClock) -> None:
    visits = 0
    async with _listening(tmp_path / "vault") as listener, trio.open_nursery() as nursery:

        async def hang_up() -> None:
            nonlocal visits
            while True:
                await trio.lowlevel.wait_readable(listener)
                listener.accept()[0].close()
                visits += 1
                assert visits < 500, "it storms"

        nursery.start_soon(hang_up)
        async with _linked(None, tmp_path / "vault"):
            await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert visits > 2


# ---- a user who may not have more descriptors on their way (SCM_RIGHTS, ETOOMANYREFS in unix(7)) ----


def test_too_many_descriptors_on_their_way_delay_a_registration() -> None:
    if os.getuid():
        pytest.skip("needs root, to be somebody else")
    process = subprocess.run(
        [sys.executable, "-m", "tests.vault.few_descriptors"], cwd=_ROOT, capture_output=True, text=True, timeout=30
    )
    assert (process.returncode, process.stdout) == (0, "60\n"), process.stderr
