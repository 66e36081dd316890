"""Frames gather where they are paced and many, and where nobody else has work to do."""

from __future__ import annotations

import math
import socket

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from splicer.relay import hub as hub_module
from splicer.relay.gather import Gathering
from splicer.relay.hub import Hub
from splicer.relay.interleave import Interleave
from splicer.relay.leg import TunnelLimits
from tests.relay.test_interleave import connected

_FOREVER = TunnelLimits(math.inf, math.inf, math.inf)


def judged(rate: float, tunnels: int, seconds: float = 0.5) -> bool:
    """Whether naps are taken after so many frames a second."""
    gathering = Gathering(100.0)
    gathering.frames = round(rate * seconds)
    return gathering.until(100.0 + seconds, tunnels) > 0.0


def test_voice_of_two_hundred_calls_gathers() -> None:
    assert judged(200 * 100, 200)


def test_frames_of_a_few_calls_would_not_meet() -> None:
    assert not judged(20 * 100, 20)


def test_who_waits_for_each_echo_is_not_kept_waiting() -> None:
    assert not judged(100_000, 100)


@given(st.floats(0, 200_000), st.integers(0, 5000))
def test_only_many_frames_of_many_tunnels_gather(rate: float, tunnels: int) -> None:
    if judged(rate, tunnels):
        assert rate >= 2_000
        assert rate <= 300 * tunnels


def test_naps_end_soon_so_that_trio_gets_its_turn() -> None:
    gathering = Gathering(0.0)
    gathering.frames = 10_000
    assert 1.0 < gathering.until(1.0, 100) <= 1.002


def test_the_verdict_stands_until_the_next_window_and_no_longer() -> None:
    gathering = Gathering(0.0)
    gathering.frames = 10_000
    assert gathering.until(1.0, 100)
    assert gathering.until(1.01, 100)
    assert not gathering.until(2.0, 100)  # nothing has passed since


def test_there_are_no_naps_while_others_have_work_to_do() -> None:
    gathering = Gathering(0.0)
    gathering.frames = 10_000
    gathering.hold(0.999)
    assert not gathering.until(1.0, 100)
    assert gathering.until(1.05, 100)


async def test_a_stream_among_the_calls_is_not_kept_waiting() -> None:
    """It counts as so many frames that the average tunnel is no longer paced."""
    hub = Hub()
    client, near_client = connected()
    pod, near_pod = connected()
    with hub.opened(), client, near_client, pod, near_pod:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            nursery.start_soon(hub.splice, near_client, near_pod, _FOREVER)
            await trio.testing.wait_all_tasks_blocked()
            counted = []
            for message in (bytes(10), bytes(160), bytes(32 * 1024)):
                hub._gathering.frames = 0
                pod.send(message)
                await trio.lowlevel.wait_readable(client)
                assert client.recv(1 << 20) == message
                counted.append(hub._gathering.frames)
            nursery.cancel_scope.cancel()
    assert counted[:2] == [1, 1]
    assert counted[2] >= 32


async def test_silent_tunnels_do_not_make_the_others_look_paced() -> None:
    hub = Hub()
    pairs = [(connected(), connected()) for _ in range(3)]
    with hub.opened():
        async with trio.open_nursery() as nursery:
            for (_, client), (_, pod) in pairs:
                nursery.start_soon(hub.splice, client, pod, _FOREVER)
            await trio.testing.wait_all_tasks_blocked()
            for tunnel in hub.live[1:]:
                tunnel.last -= 60.0
            await hub._look_at_all(None)
            assert hub._lively == 1
            nursery.cancel_scope.cancel()
    for pair in pairs:
        for sock in (*pair[0], *pair[1]):
            sock.close()


class Willing(Gathering):
    """Always takes a nap, unless it is held."""

    def until(self, now: float, tunnels: int) -> float:
        return 0.0 if now < self._held else now + 60.0


class Naps:
    """In place of `sleep`: at the first nap a frame comes."""

    def __init__(self, sender: socket.socket) -> None:
        self.taken = 0
        self._sender = sender

    def __call__(self, seconds: float) -> None:
        self.taken += 1
        if self.taken == 1:
            self._sender.send(b"second")


async def naps_of_a_frame(monkeypatch: pytest.MonkeyPatch, *, others: bool) -> tuple[int, bytes]:
    """How many naps follow one frame, and what has arrived before any other task had a turn."""
    hub = Hub()
    hub._gathering = Willing(0.0)
    instrument = Interleave(hub)
    client, near_client = connected()
    pod, near_pod = connected()
    naps = Naps(pod)
    monkeypatch.setattr(hub_module, "sleep", naps)
    with hub.opened(), client, near_client, pod, near_pod:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            nursery.start_soon(hub.splice, near_client, near_pod, _FOREVER)
            await trio.testing.wait_all_tasks_blocked()
            if others:
                trio.lowlevel.add_instrument(instrument)
                await trio.lowlevel.checkpoint()
            pod.send(b"first")
            await trio.lowlevel.wait_readable(client)
            got = client.recv(100)
            nursery.cancel_scope.cancel()
    if others:
        trio.lowlevel.remove_instrument(instrument)
    return naps.taken, got


async def test_a_frame_that_comes_in_a_nap_goes_in_the_same_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await naps_of_a_frame(monkeypatch, others=False) == (2, b"firstsecond")


async def test_no_nap_after_the_step_of_another_task(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await naps_of_a_frame(monkeypatch, others=True) == (0, b"first")
