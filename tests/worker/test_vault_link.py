from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.relay.mover import Mover
from splicer.relay.stock import PipeStock
from splicer.vault import protocol
from splicer.vault.protocol import TO_CLIENT, Kind
from splicer.worker.vault_link import VaultLink
from tests.kit.descriptors import no_more_descriptors
from tests.relay.harness import until
from tests.vault.rig import Rig
from tests.worker.linked import accepted, both, both_in, link_to, listening

_ROOT = Path(__file__).resolve().parent.parent.parent


# ---- what it says ----


async def test_a_registration_brings_both_sockets_and_the_passport(rig: Rig) -> None:
    tunnel = rig.tunnel(2**64 - 2)
    async with both() as (linked, vault):
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
    async with both_in(rig) as linked:
        linked.link.words[9] = 77
        journal = rig.holder.channels[0].journal
        assert journal is not None
        assert journal.word(9) == 77


async def test_a_full_channel_delays_a_registration_and_nobody_else(rig: Rig) -> None:
    async with both() as (linked, vault), trio.open_nursery() as nursery:
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
    async with both() as (linked, vault):
        linked.fill()
        with pytest.raises(BlockingIOError):
            linked.add(0, rig.pipe())
        await vault.hear_all(linked)
        linked.add(0, rig.pipe())
        assert vault.heard() == [(Kind.PIPE, 0)]


async def test_a_pipe_is_known_before_the_registration_that_follows(rig: Rig) -> None:
    async with both() as (linked, vault):
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
    async with link_to(None, tmp_path / "vault") as linked, _stocked(linked.link) as stock:
        stock.look()
        await wait_all_tasks_blocked()
        assert stock.idle >= 4, "calls go on unprotected"
        await linked.register(rig.tunnel(2))
        async with listening(tmp_path / "vault") as listener:
            vault = await accepted(listener)
            heard = vault.heard()
            vault.sock.close()
        pipes = [(Kind.PIPE, place) for place in range(stock.idle + 1)]
        assert heard == [(Kind.HELLO, 0), *pipes, (Kind.TUNNEL, 2)]


async def test_a_stock_that_waits_for_a_full_channel_is_filled_when_the_vault_is_lost() -> None:
    async with both() as (linked, vault), _stocked(linked.link) as stock:
        linked.fill()
        stock.look()
        await wait_all_tasks_blocked()
        assert stock.idle == 0, "the vault would not know them"
        vault.sock.close()
        await until(lambda: stock.idle)
        assert linked.told[-1] == "vault_lost"


async def test_no_pipe_beyond_the_journal(rig: Rig) -> None:
    async with both() as (linked, vault):
        with pytest.raises(OSError, match="full"):
            linked.add(1 << 16, rig.pipe())
        assert vault.heard() == []


# ---- adoption ----


@pytest.mark.parametrize("ways", [[], [0], [1], [0, 1]])
async def test_a_tunnel_is_adopted_with_its_pipes(rig: Rig, ways: list[int]) -> None:
    tunnel, pipes = rig.tunnel(), {way: rig.pipe(b"%d" % way) for way in ways}
    async with both() as (linked, vault):
        fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno(), *(pipes[way].read_fd for way in ways)
        flags = sum(protocol.parked(way) for way in ways)
        flags |= protocol.crashed(2)
        protocol.send(vault.sock, protocol.pack(Kind.TUNNEL, 6, b"passport", flags=flags, quantity=3), fds)
        await wait_all_tasks_blocked()
        [adopted] = linked.adopted
        assert (adopted.key, adopted.adoptions, adopted.crashes, adopted.passport) == (6, 3, 2, b"passport")
        assert {way: os.read(fd, 9) for way, fd in adopted.pipes.items()} == {way: b"%d" % way for way in ways}
        assert not adopted.client.getblocking()
        adopted.client.send(b"to the client")
        assert tunnel.client.recv(99) == b"to the client"


# It must not end the worker, whose other calls would move to the next one, which would be handed the same again.
async def test_what_is_no_tunnel_is_given_up_and_costs_no_other(rig: Rig) -> None:
    tunnel, null = rig.tunnel(), os.open(os.devnull, os.O_RDWR)
    async with both() as (linked, vault):
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
    async with both() as (linked, vault):
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
    async with both_in(rig) as linked:
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


# ---- a user who may not have more descriptors on their way (SCM_RIGHTS, ETOOMANYREFS in unix(7)) ----


def test_too_many_descriptors_on_their_way_delay_a_registration() -> None:
    if os.getuid():
        pytest.skip("needs root, to be somebody else")
    process = subprocess.run(
        [sys.executable, "-m", "tests.vault.few_descriptors"], cwd=_ROOT, capture_output=True, text=True, timeout=30
    )
    assert (process.returncode, process.stdout) == (0, "60\n"), process.stderr


@pytest.mark.parametrize(("version", "says"), [(protocol.VERSION, True), (1, False)])
async def test_a_vault_that_knows_of_it_hears_that_a_worker_leaves_on_purpose(
    monkeypatch: pytest.MonkeyPatch, version: int, says: bool
) -> None:
    async with both() as (linked, vault):
        linked.link._version = version
        linked.link.close()
        heard = []
        while (message := protocol.receive(vault.sock)) is not None:
            heard.append(message.kind)
            message.close()
        assert (heard[-1:] == [Kind.LEAVE]) is says
