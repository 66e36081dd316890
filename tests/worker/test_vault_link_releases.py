"""Releases, and who wants to know that they were told."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.vault import protocol
from splicer.vault.protocol import Kind
from tests.vault.rig import Rig
from tests.worker.linked import LONG_SECONDS, Notes, accepted, both, both_in, link_to, listening

# ---- releases ----


async def test_releases_gather_into_one_message(autojump_clock: MockClock) -> None:
    async with both() as (linked, vault):
        assert linked.link.settled
        for key in (2, 4, 6):
            linked.link.release(key)
        await wait_all_tasks_blocked()
        assert vault.heard() == []
        assert not linked.link.settled  # nothing of it has been told
        await trio.sleep(LONG_SECONDS)
        message = vault.hear()
        assert (message.kind, message.number, protocol.keys(message.payload)) == (Kind.RELEASE, 2, (4, 6))
        assert vault.heard() == []
        assert linked.link.settled
        linked.link.release(8)
        await trio.sleep(LONG_SECONDS)
        assert vault.heard() == [(Kind.RELEASE, 8)]


async def test_a_release_that_something_waits_for_takes_the_others_along() -> None:
    async with both() as (linked, vault):
        linked.link.release(2)
        linked.link.release(4, soon=True)
        message = vault.hear()
        assert (message.kind, message.number, protocol.keys(message.payload)) == (Kind.RELEASE, 2, (4,))
        assert linked.link.settled


async def test_very_many_releases_do_not_wait_for_more() -> None:
    async with both() as (linked, vault):
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
    async with both() as (linked, vault):
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
    async with link_to(None) as linked:
        linked.link.release(2)
        linked.link.finish()
        assert not linked.waits


async def test_what_has_gathered_for_a_vault_that_is_gone_is_not_told_to_the_next(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "vault"
    async with listening(path) as listener, link_to(None, path) as linked:
        vault = await accepted(listener)
        linked.link.release(2)
        vault.sock.close()
        vault = await accepted(listener)
        await trio.sleep(LONG_SECONDS)
        assert vault.heard() == [(Kind.HELLO, 0)]
        assert linked.link.settled
        vault.sock.close()


async def test_the_holder_lets_go_of_all_that_is_released(rig: Rig) -> None:
    async with both_in(rig) as linked:
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


async def test_who_releases_is_called_back_when_the_message_has_left(autojump_clock: MockClock) -> None:
    async with both() as (linked, vault):
        notes = Notes(linked.link)
        for key in (2, 4):
            notes.release(key)
        await wait_all_tasks_blocked()
        assert (vault.heard(), notes.calls) == ([], [])
        await trio.sleep(LONG_SECONDS)
        assert vault.heard() == [(Kind.RELEASE, 2)]
        assert notes.calls == ["then 2", "then 4", "after 2", "after 4"]
        await trio.sleep(LONG_SECONDS)
        linked.link.finish()
    assert len(notes.calls) == 4, "and never again"


async def test_a_release_that_something_waits_for_calls_all_back_at_once() -> None:
    async with both() as (linked, vault):
        notes = Notes(linked.link)
        notes.release(2)
        notes.release(4, soon=True)
        assert notes.calls == ["then 2", "then 4", "after 2", "after 4"]
        assert vault.heard() == [(Kind.RELEASE, 2)]


async def test_very_many_releases_are_called_back_message_by_message() -> None:
    async with both() as (linked, _):
        notes = Notes(linked.link)
        for key in range(300):
            notes.release(key)
        assert notes.calls == [*(f"then {key}" for key in range(256)), *(f"after {key}" for key in range(256))]


# Until the message is in the channel a worker that is killed leaves the tunnel to the next, which tells of its end too.
async def test_with_a_full_channel_nobody_is_called_back_before_the_message_has_left() -> None:
    async with both() as (linked, vault):
        linked.fill()
        notes = Notes(linked.link)
        notes.release(10_000, soon=True)
        notes.release(10_002)
        await trio.sleep(LONG_SECONDS)
        assert notes.calls == []
        keys = await vault.hear_all(linked)
        assert (Kind.RELEASE, 10_000) in keys
        assert sorted(notes.calls) == ["after 10000", "after 10002", "then 10000", "then 10002"]


async def test_a_full_channel_whose_vault_is_lost_calls_back_once(rig: Rig) -> None:
    ours, its = protocol.channel()
    async with link_to(its) as linked:
        linked.fill()
        notes = Notes(linked.link)
        notes.release(10_000, soon=True)
        notes.release(10_002)
        ours.close()
        await trio.sleep(LONG_SECONDS)
        assert linked.told[-1] == "vault_lost"
        assert sorted(notes.calls) == ["after 10000", "after 10002", "then 10000", "then 10002"]


async def test_without_a_vault_one_is_called_back_at_once() -> None:
    async with link_to(None) as linked:
        notes = Notes(linked.link)
        notes.release(2)
        assert notes.calls == ["then 2", "after 2"]
        notes.release(4, soon=True)
        linked.link.finish()
        assert notes.calls == ["then 2", "after 2", "then 4", "after 4"]


@pytest.mark.parametrize("how", ["gone", "refused"])
async def test_one_is_called_back_when_the_vault_is_lost(how: str, autojump_clock: MockClock) -> None:
    ours, its = protocol.channel()
    async with link_to(its) as linked:
        notes = Notes(linked.link)
        notes.release(2)
        notes.release(4)
        if how == "refused":
            ours.send(protocol.pack(Kind.REFUSED))
        else:
            ours.close()
        await wait_all_tasks_blocked()
        assert notes.calls == ["then 2", "then 4", "after 2", "after 4"]
        await trio.sleep(LONG_SECONDS)
        assert len(notes.calls) == 4
        notes.release(6)
        assert notes.calls[4:] == ["then 6", "after 6"]
    ours.close()


async def test_a_vault_that_comes_back_calls_nobody_back_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "vault"
    async with listening(path) as listener, link_to(None, path) as linked:
        vault = await accepted(listener)
        notes = Notes(linked.link)
        notes.release(2)
        vault.sock.close()
        vault = await accepted(listener)
        notes.release(4)
        await trio.sleep(LONG_SECONDS)
        assert notes.calls == ["then 2", "after 2", "then 4", "after 4"]
        vault.sock.close()


async def test_who_finishes_calls_back_once() -> None:
    async with both() as (linked, vault):
        notes = Notes(linked.link)
        notes.release(2)
        notes.release(4)
        for _ in range(2):
            linked.link.finish()
            assert notes.calls == ["then 2", "then 4", "after 2", "after 4"]
        assert vault.heard() == [(Kind.RELEASE, 2)]


async def test_one_who_is_called_back_may_release_another() -> None:
    async with both() as (linked, vault):
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
