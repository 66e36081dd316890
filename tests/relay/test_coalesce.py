"""Frames gather where they are paced and many, and where nobody else has work to do."""

from __future__ import annotations

import math
import select

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from splicer.relay import hub as hub_module
from splicer.relay.coalesce import FrameCoalescer
from splicer.relay.instrument import RelayInstrument
from tests.relay.harness import Call, Edge


def judged(rate: float, tunnels: int, seconds: float = 0.5) -> bool:
    """Whether the hub waits after so many frames a second."""
    return FrameCoalescer(100.0).until(100.0 + seconds, round(rate * seconds), tunnels) > 0.0


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


def test_waits_end_soon_so_that_trio_gets_its_turn() -> None:
    assert 1.0 < FrameCoalescer(0.0).until(1.0, 10_000, 100) <= 1.002


def test_the_verdict_stands_until_the_next_window_and_no_longer() -> None:
    coalescer = FrameCoalescer(0.0)
    assert coalescer.until(1.0, 10_000, 100)
    assert coalescer.until(1.01, 10_000, 100)
    assert not coalescer.until(2.0, 10_000, 100)  # nothing has passed since
    assert coalescer.until(3.0, 20_000, 100)


def test_there_are_no_waits_while_others_have_work_to_do() -> None:
    coalescer = FrameCoalescer(0.0)
    coalescer.hold(0.999)
    assert not coalescer.until(1.0, 10_000, 100)
    assert coalescer.until(1.05, 10_000, 100)


async def test_a_stream_among_the_calls_is_not_kept_waiting(edge: Edge) -> None:
    """It counts as so many frames that the average tunnel is no longer paced."""
    call = await edge.call()
    counted = []
    for message in (bytes(10), bytes(160), bytes(32 * 1024)):
        before = edge.hub._mover.frames
        await call.pod.send(message)
        assert await call.client.read(len(message)) == message
        counted.append(edge.hub._mover.frames - before)
    assert counted[:2] == [1, 1]
    assert counted[2] >= 32


async def test_silent_tunnels_do_not_make_the_others_look_paced(edge: Edge) -> None:
    for _ in range(3):
        await edge.call()
    for tunnel in list(edge.hub._tunnels.values())[1:]:
        tunnel.last -= 60.0
    await edge.hub._sweep._look_at_all(None)
    assert edge.hub._sweep.lively == 1


class Willing(FrameCoalescer):
    """Always waits, unless it was ever held."""

    def hold(self, now: float) -> None:
        self._held = math.inf

    def until(self, now: float, frames: int, tunnels: int) -> float:
        return 0.0 if now < self._held else now + 60.0


class Waits:
    """In place of `sleep`: at the first one a frame comes."""

    def __init__(self, call: Call) -> None:
        self.taken = 0
        self._call = call

    def __call__(self, seconds: float) -> None:
        self.taken += 1
        if self.taken == 1:
            self._call.pod.offer(b"second")
            assert select.select([self._call.inner[1]], [], [], 10.0)[0]


async def waits_after_a_frame(edge: Edge, monkeypatch: pytest.MonkeyPatch, *, others: bool) -> tuple[int, int]:
    """How many waits follow one frame, and how many bytes have gone on before any other task had a turn."""
    call = await edge.call()
    edge.hub._coalescer = Willing(0.0)
    waits = Waits(call)
    monkeypatch.setattr(hub_module, "sleep", waits)
    instrument = RelayInstrument(edge.hub, memoryview(bytearray(8)).cast("q"))
    if others:
        trio.lowlevel.add_instrument(instrument)
        await trio.lowlevel.checkpoint()
    call.pod.offer(b"first")
    await call.client.receive()
    [tunnel] = edge.hub.views()
    if others:
        trio.lowlevel.remove_instrument(instrument)
    return waits.taken, tunnel.to_client


async def test_a_frame_that_comes_meanwhile_goes_in_the_same_turn(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await waits_after_a_frame(edge, monkeypatch, others=False) == (2, len(b"firstsecond"))


async def test_no_wait_after_the_step_of_another_task(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await waits_after_a_frame(edge, monkeypatch, others=True) == (0, len(b"first"))
