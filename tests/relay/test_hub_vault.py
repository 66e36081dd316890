"""What the hub does for the one who may have to go on in its place."""

from __future__ import annotations

import os
import random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.relay.api import ResumeState, TunnelEnd
from tests.relay.frames import talk
from tests.relay.harness import (
    PLENTY,
    Call,
    CountingHub,
    Edge,
    no_more_pipes,
    pipe_with,
    running,
    small_tcp_pair,
    tcp_pair,
    until,
)
from tests.relay.registry import FakeVault

KEY = 0x1234_5678_9ABC_DEF0


# ---- the journal ----


async def test_the_journals_word_is_written_before_each_fill(
    kept: Edge, vault: FakeVault, breakable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    belongs: dict[int, int] = {}
    with vault.watching_fills(monkeypatch):
        for number in range(1, 4):
            key = number << 8
            call = Call(small_tcp_pair(), small_tcp_pair())
            client, pod = (sock.fileno() for sock in call.inner)
            belongs |= {client: key, pod: key | 1}
            await kept.take(call, to_client=b"101", to_pod=b"early", key=key)
            assert (await call.client.read(3), await call.pod.read(5)) == (b"101", b"early")
            await talk(call)
            await call.client.send(bytes(PLENTY // 100))
            assert len(await call.pod.read(PLENTY // 100)) == PLENTY // 100
            with no_more_pipes(kept.hub):
                await talk(call)
    fills = [number for number, (what, *_) in enumerate(vault.notes) if what == "fill"]
    assert len(fills) > 20
    for number in fills:
        _, place, source = vault.notes[number]
        before, where, word = next(note for note in reversed(vault.notes[:number]) if note[0] != "fill")
        assert (before, where) == ("word", place)
        assert source == -1 or word == belongs[source]


async def test_the_journal_says_whose_early_and_parked_bytes_a_pipe_holds(kept: Edge, vault: FakeVault) -> None:
    data = random.Random(3).randbytes(PLENTY)
    call = await kept.call(pair=small_tcp_pair, key=KEY)
    await kept.park(call.client, data)
    await kept.park(call.pod, data[::-1])
    for word, sent in ((KEY, data), (KEY | 1, data[::-1])):
        fd = vault.find(word)
        assert os.read(fd, 20) in sent
        os.close(fd)


async def test_a_pipe_is_kept_before_its_first_byte_and_dropped_after_its_last(kept: Edge, vault: FakeVault) -> None:
    calls = [await kept.call(pair=small_tcp_pair) for _ in range(3)]
    for call in calls:
        await kept.park(call.pod, bytes(PLENTY))
    assert kept.hub.pipes.in_use == 3
    assert len(vault.held) == 3 + kept.hub.pipes.idle + 1  # one is put by
    for call in calls:
        call.client.reset()
    for call in calls:
        await call.over()
    assert len(vault.held) == kept.hub.pipes.idle + 1
    kept.hub.pipes.close()
    assert not vault.held


# ---- a vault that takes nothing ----


async def test_a_new_tunnel_does_with_the_pipe_that_is_put_by(kept: Edge, vault: FakeVault) -> None:
    vault.away = True
    for number in range(1, 4):
        call = await kept.call(to_client=b"101", key=number << 8)
        assert await call.client.read(3) == b"101"
        await talk(call)
    assert len(vault.held) == 1
    assert kept.hub.pipes.in_use == 0


@pytest.mark.parametrize("away", [False, True])
async def test_where_that_is_lent_it_is_refused(
    kept: Edge, vault: FakeVault, away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("splicer.relay.beginning._REGISTRY_TIMEOUT", 0.01)
    vault.away, vault.full = away, not away
    known = trio.Event()
    first = await kept.call(to_client=b"101", key=KEY, register=known.wait)
    await until(lambda: kept.hub.pipes.in_use == 1)
    second = await kept.call(to_client=b"101", key=KEY + 2)
    await second.over()
    assert isinstance(second.error, BlockingIOError)
    assert await second.client.read(3) == b""
    known.set()
    assert await first.client.read(3) == b"101"


# ---- registering ----


async def test_nothing_moves_before_the_tunnel_is_registered(kept: Edge, vault: FakeVault) -> None:
    known = trio.Event()
    seen: list[tuple[int, int]] = []

    async def register() -> None:
        seen.extend((vault.words[place], fd) for place, fd in vault.held.items() if place)
        await known.wait()

    call = await kept.call(to_client=b"101", to_pod=b"early", key=KEY, register=register)
    await call.client.send(b" and late")
    await call.pod.send(b" first")
    await wait_all_tasks_blocked()
    assert call.client.is_quiet()
    assert call.pod.is_quiet()
    assert sorted(word for word, _ in seen) == [KEY, KEY | 1]
    assert kept.hub.pipes.in_use == 2
    known.set()
    assert await call.client.read(9) == b"101 first"
    assert await call.pod.read(14) == b"early and late"


async def test_a_registration_that_fails_sends_nothing_and_leaks_nothing(kept: Edge) -> None:
    async def register() -> None:
        raise ZeroDivisionError

    call = await kept.call(to_client=b"101", to_pod=b"early", register=register)
    await call.over()
    assert isinstance(call.error, ZeroDivisionError)
    assert (await call.client.read(3), await call.pod.read(5)) == (b"", b"")
    assert kept.hub.pipes.in_use == 0


async def test_a_client_that_waits_for_its_registration_may_be_given_up(kept: Edge) -> None:
    call = await kept.call(to_client=b"101", to_pod=b"early", register=trio.sleep_forever)
    call.scope.cancel()
    assert await call.over() is None
    assert (await call.client.read(3), await call.pod.read(5)) == (b"", b"")
    assert kept.hub.pipes.in_use == 0


async def test_a_vault_that_can_hear_no_more_delays_early_bytes_and_no_live_call(kept: Edge, vault: FakeVault) -> None:
    vault.full = True
    live = await kept.call()
    late = await kept.call(to_client=b"101", to_pod=b"early")
    for _ in range(5):
        await talk(live)
    assert late.client.is_quiet()
    assert late.pod.is_quiet()
    assert await kept.sleeps()
    vault.full = False
    vault.room.set()
    assert (await late.client.read(3), await late.pod.read(5)) == (b"101", b"early")


# ---- a bug in the hub ----


async def test_what_goes_wrong_with_one_leg_ends_its_tunnel_alone(
    edge: Edge, breakable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    splice = os.splice
    calls = [await edge.call(pair=small_tcp_pair) for _ in range(3)]
    await edge.park(calls[1].client, bytes(PLENTY))
    unlucky, faults = calls[1].inner[0].fileno(), list[int]()

    def broken(src: int, dst: int, count: int, *, flags: int) -> int:
        if dst == unlucky and not faults:  # its number may come again
            faults.append(dst)
            raise ZeroDivisionError
        return splice(src, dst, count, flags=flags)

    monkeypatch.setattr(os, "splice", broken)
    for call in calls:
        await call.pod.send(b"hello")
    await calls[1].over()
    assert isinstance(calls[1].error, ZeroDivisionError)
    assert (calls[1].end, edge.hub.tunnels, edge.hub.pipes.in_use) == (None, 2, 0)
    for call in (calls[0], calls[2]):
        assert await call.client.read(5) == b"hello"
        await talk(call)


# ---- a worker that leaves on purpose ----


async def test_tunnels_that_are_let_go_lose_nothing(kept: Edge, vault: FakeVault) -> None:
    """The vault has duplicates of all; another hub goes on with these."""
    up, down = random.Random(1).randbytes(PLENTY), random.Random(2).randbytes(PLENTY)
    call = await kept.call(pair=small_tcp_pair, key=KEY)
    await kept.park(call.client, up)
    await kept.park(call.pod, down)
    inner = call.inner[0].dup(), call.inner[1].dup()
    for sock in inner:
        sock.setblocking(False)
    kept.hub.let_go()
    assert (kept.hub.tunnels, kept.hub.left, call.end) == (0, 1, None)
    assert [sock.fileno() for sock in call.inner] == [-1, -1]

    heir = Call((call.client.sock, inner[0]), (call.pod.sock, inner[1]))
    async with running(CountingHub()) as next_edge:
        await next_edge.take(heir, past=ResumeState((vault.find(KEY), vault.find(KEY | 1))))
        call.client.half_close()
        call.pod.half_close()
        for peer, sent in ((call.pod, up[: call.client.sent]), (call.client, down[: call.pod.sent])):
            assert await peer.read_to_end() == (sent, "eof")
        assert await heir.over() == TunnelEnd(Side.CLIENT, "eof")


async def test_what_comes_to_a_hub_that_has_let_go_is_left_alone_too(kept: Edge) -> None:
    call = Call(tcp_pair(), tcp_pair())
    kept.hub.let_go()
    inner = call.inner[0].dup(), call.inner[1].dup()
    left = pipe_with(b"left")
    duplicate = os.dup(left)
    await kept.take(call, past=ResumeState((left, None)), key=KEY)
    await call.client.send(b"hello")
    await wait_all_tasks_blocked()
    assert (call.pod.is_quiet(), kept.hub.tunnels, kept.hub.left) == (True, 0, 1)
    assert (os.read(duplicate, 10), inner[0].recv(10)) == (b"left", b"hello")
    os.close(duplicate)
    for sock in inner:
        sock.close()
