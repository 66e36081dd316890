"""A storm of runnable tasks doesn't keep frames waiting until all of them have run."""

from __future__ import annotations

import contextlib
import time
from functools import partial

import trio

from splicer.relay.instrument import RelayInstrument
from tests.relay.harness import Edge, tcp_pair


async def frames_seen_within_one_batch(edge: Edge, *, interleaved: bool) -> int:
    """How many of a batch of tasks, all run before Trio looks for events again, find the frame that one sent."""
    call = await edge.call()
    sent = False
    seen = 0

    async def step() -> None:
        nonlocal sent, seen
        if not sent:
            sent = call.pod.offer(b"frame") > 0
        else:
            with contextlib.suppress(BlockingIOError):
                seen += call.client.sock.recv(5) == b"frame"
        time.sleep(0.002)  # noqa: ASYNC251 - a step that takes its time is what this is about

    beat = memoryview(bytearray(8)).cast("q")
    instrument = RelayInstrument(edge.hub, beat)
    if interleaved:
        trio.lowlevel.add_instrument(instrument)
    async with trio.open_nursery() as storm:
        for _ in range(20):
            storm.start_soon(step)
    if interleaved:
        trio.lowlevel.remove_instrument(instrument)
        assert beat[0] >= 20, "it beats at each step"
    return seen


async def test_a_frame_passes_between_the_steps_of_a_storm(edge: Edge) -> None:
    assert await frames_seen_within_one_batch(edge, interleaved=True) == 1


async def test_without_it_the_frame_waits_for_the_whole_batch(edge: Edge) -> None:
    assert await frames_seen_within_one_batch(edge, interleaved=False) == 0


async def test_a_frame_passes_in_the_middle_of_a_step_that_breathes(edge: Edge) -> None:
    call = await edge.call()
    call.pod.offer(b"frame")
    time.sleep(0.002)  # noqa: ASYNC251 - as above
    edge.hub.turn_if_due()
    assert call.client.sock.recv(5) == b"frame"


async def test_a_look_out_of_turn_is_one_batch_however_much_a_stream_has(edge: Edge) -> None:
    call = await edge.call(pair=partial(tcp_pair, 1 << 20))
    sent = call.pod.offer(bytes(1 << 20))
    time.sleep(0.002)  # noqa: ASYNC251 - as above
    edge.hub.turn_if_due()
    [tunnel] = edge.hub.views()
    assert 0 < tunnel.to_client <= 1 << 16 < sent
