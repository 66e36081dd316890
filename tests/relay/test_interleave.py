"""A storm of runnable tasks doesn't keep frames waiting until all of them have run."""

from __future__ import annotations

import contextlib
import math
import socket
import time

import trio
import trio.testing

from splicer.relay.hub import Hub
from splicer.relay.interleave import Interleave
from splicer.relay.leg import TunnelLimits


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


async def frames_seen_within_one_batch(*, interleaved: bool) -> int:
    """How many of a batch of tasks, all run before Trio looks for events again, find the frame that one sent."""
    hub = Hub()
    client, near_client = connected()
    pod, near_pod = connected()
    sent = False
    seen = 0

    async def step() -> None:
        nonlocal sent, seen
        if not sent:
            sent = pod.send(b"frame") > 0
        else:
            with contextlib.suppress(BlockingIOError):
                seen += client.recv(5) == b"frame"
        time.sleep(0.002)  # noqa: ASYNC251 - a step that takes its time is what this is about

    instrument = Interleave(hub)
    with hub.opened(), client, near_client, pod, near_pod:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            nursery.start_soon(hub.splice, near_client, near_pod, TunnelLimits(math.inf, math.inf, math.inf))
            await trio.testing.wait_all_tasks_blocked()
            if interleaved:
                trio.lowlevel.add_instrument(instrument)
            async with trio.open_nursery() as storm:
                for _ in range(20):
                    storm.start_soon(step)
            nursery.cancel_scope.cancel()
    if interleaved:
        trio.lowlevel.remove_instrument(instrument)
    return seen


async def test_a_frame_passes_between_the_steps_of_a_storm() -> None:
    assert await frames_seen_within_one_batch(interleaved=True) == 1


async def test_without_it_the_frame_waits_for_the_whole_batch() -> None:
    assert await frames_seen_within_one_batch(interleaved=False) == 0


async def test_a_frame_passes_in_the_middle_of_a_step_that_breathes() -> None:
    hub = Hub()
    client, near_client = connected()
    pod, near_pod = connected()
    with hub.opened(), client, near_client, pod, near_pod:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            nursery.start_soon(hub.splice, near_client, near_pod, TunnelLimits(math.inf, math.inf, math.inf))
            await trio.testing.wait_all_tasks_blocked()
            pod.send(b"frame")
            time.sleep(0.002)  # noqa: ASYNC251 - as above
            hub.turn_if_due()
            assert client.recv(5) == b"frame"
            nursery.cancel_scope.cancel()


async def test_a_look_out_of_turn_is_one_batch_however_much_a_stream_has() -> None:
    hub = Hub()
    client, near_client = connected()
    pod, near_pod = connected()
    with hub.opened(), client, near_client, pod, near_pod:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.splice, near_client, near_pod, TunnelLimits(math.inf, math.inf, math.inf))
            await trio.testing.wait_all_tasks_blocked()
            sent = pod.send(bytes(1 << 20))
            time.sleep(0.002)  # noqa: ASYNC251 - as above
            hub.turn_if_due()
            assert 0 < len(client.recv(1 << 20)) <= 1 << 16 < sent
            nursery.cancel_scope.cancel()
