"""A vault that is full, and one that takes nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.vault import protocol
from splicer.vault.protocol import Kind
from tests.vault.rig import Rig
from tests.worker.linked import LONG_SECONDS, Notes, accepted, both, both_in, link_to, listening

# ---- a vault that is full ----


async def test_a_vault_that_is_full_is_asked_again_after_a_while(rig: Rig, autojump_clock: MockClock) -> None:
    async with both_in(rig) as linked:
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
    async with link_to(its, tmp_path / "vault") as linked:
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
    async with both() as (linked, vault):
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
        await trio.sleep(LONG_SECONDS)
        assert (linked.link.connected, linked.told[2:]) == (True, ["vault_connected"])
        linked.add(0, rig.pipe())


async def test_who_releases_is_called_back_though_the_vault_takes_nothing(autojump_clock: MockClock) -> None:
    async with both() as (linked, vault):
        linked.fill()
        notes = Notes(linked.link)
        notes.release(10_000, soon=True)
        await trio.sleep(0.5)
        assert notes.calls == []
        await trio.sleep(1)
        assert notes.calls == ["then 10000", "after 10000"]
        notes.release(10_002, soon=True)
        notes.release(10_004)
        await trio.sleep(LONG_SECONDS)
        assert notes.calls[2:] == ["then 10002", "after 10002", "then 10004", "after 10004"]
        heard = await vault.hear_all(linked)
        assert heard[-3:] == [(Kind.RELEASE, number) for number in (10_000, 10_002, 10_004)]
        await trio.sleep(LONG_SECONDS)
        assert len(notes.calls) == 6


@pytest.mark.parametrize("comes_back", [False, True])
async def test_one_that_takes_nothing_and_then_is_gone_is_told_once(
    rig: Rig, tmp_path: Path, autojump_clock: MockClock, comes_back: bool
) -> None:
    path, tunnels = tmp_path / "vault", [rig.tunnel(10_000), rig.tunnel(10_002)]
    async with listening(path) as listener, link_to(None, path) as linked:
        vault = await accepted(listener)
        await linked.register(tunnels[0])
        linked.fill()
        await linked.register(tunnels[1])
        vault.sock.close()
        await trio.sleep(LONG_SECONDS)
        assert linked.told == ["vault_connected", "vault_lost"]
        if comes_back:
            vault = await accepted(listener)
            assert vault.heard() == [(Kind.HELLO, 0), (Kind.TUNNEL, 10_000), (Kind.TUNNEL, 10_002)]
            assert linked.told[2:] == ["vault_connected"]
            vault.sock.close()


# It reads what was said before and while it stood still, in order: no call has two owners then, and none is forgotten.
async def test_a_holder_that_stood_still_knows_in_the_end_what_there_is(rig: Rig, autojump_clock: MockClock) -> None:
    async with both_in(rig) as linked:
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
