"""Waiting in Trio's place: no frame needs a step of a task, and nothing of Trio's is late."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from splicer.errors import Side
from splicer.relay import trio_wait
from splicer.relay.api import TunnelEnd, TunnelLimits
from splicer.relay.mover import Mover
from splicer.relay.trio_wait import epoll_of_trio
from tests.relay.harness import CountingHub, Edge, running
from tests.relay.movers import MakeMover


class Steps(trio.abc.Instrument):
    """Counts the steps of all tasks."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, _: trio.lowlevel.Task) -> None:
        self.count += 1


class Kernel(threading.Thread):
    """Does something while the whole of Trio waits."""

    def __init__(self, does: Callable[[], object]) -> None:
        super().__init__()
        self._does = does
        self.result: object = None

    def run(self) -> None:
        self.result = self._does()


@pytest.fixture
async def found() -> AsyncIterator[int]:
    """A descriptor on which a task waits."""
    bell = os.eventfd(0, os.EFD_NONBLOCK)

    async def wait(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.wait_readable(bell)

    async with trio.open_nursery() as nursery:
        await nursery.start(wait)
        yield bell
        nursery.cancel_scope.cancel()
    os.close(bell)


async def test_the_epoll_of_trio_is_found(found: int) -> None:
    assert epoll_of_trio(found) is not None


async def test_it_is_not_that_of_a_descriptor_on_which_nobody_waits(found: int) -> None:
    other = os.eventfd(0)
    try:
        assert epoll_of_trio(other) is None
    finally:
        os.close(other)


async def test_under_a_mock_clock_nobody_waits_in_its_place(found: int, mock_clock: MockClock) -> None:
    assert epoll_of_trio(found) is None


async def _frame_through_a_hub(make_mover: MakeMover) -> bool:
    async with running(CountingHub(mover=make_mover)) as edge:
        call = await edge.call()
        await call.client.send(b"frame")
        assert await call.pod.read(5) == b"frame"
        return edge.hub.hosts


def test_in_the_loop_of_another_nobody_waits_in_its_place(make_mover: MakeMover) -> None:
    async def host() -> bool:
        over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            _frame_through_a_hub,
            make_mover,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=lambda outcome: over.set_result(outcome.unwrap()),
        )
        return await over

    assert asyncio.run(host()) is False


async def test_where_no_epoll_is_found_frames_pass_all_the_same(
    make_mover: MakeMover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio_wait, "epoll_of_trio", lambda _: None)
    assert await _frame_through_a_hub(make_mover) is False


async def test_a_frame_passes_without_a_step(edge: Edge) -> None:
    call = await edge.call()
    assert edge.hub.hosts
    steps = Steps()
    hundred = b"frame" * 20

    def talk() -> bytes:
        got = b""
        for _ in range(20):
            call.client.sock.setblocking(True)
            call.client.sock.send(b"frame")
            call.pod.sock.setblocking(True)
            got += call.pod.sock.recv(5)
        return got

    kernel = Kernel(talk)
    trio.lowlevel.add_instrument(steps)
    kernel.start()
    await trio.sleep(0.5)
    trio.lowlevel.remove_instrument(steps)
    assert kernel.result == hundred
    assert steps.count < 10, "the steps are those of this task and of the hub's"
    kernel.join()


async def test_a_tunnel_that_ends_meanwhile_wakes_its_task(edge: Edge) -> None:
    call = await edge.call()
    call.hang_up()
    assert await call.over() == TunnelEnd(Side.CLIENT, "eof")


async def test_a_deadline_that_comes_near_meanwhile_is_kept(edge: Edge) -> None:
    call = await edge.call(TunnelLimits(idle=3600.0, half_closed=0.05, lifetime=3600.0))
    with trio.fail_after(20.0):
        await trio.sleep(0.2)  # the next sweep is far away by now
        call.client.half_close()
        assert await call.over() == TunnelEnd(Side.PROXY, "half_closed")


async def test_threads_wake_tasks_as_ever(edge: Edge) -> None:
    await edge.call()
    with trio.fail_after(20.0):
        assert await trio.to_thread.run_sync(partial(sum, [1, 2])) == 3


class Fails(Mover):
    """Has a bug."""

    def host(self, now: float, until: float) -> bool:
        raise RuntimeError("a bug")


async def test_a_fault_in_the_instrument_ends_the_hub() -> None:
    hub = CountingHub(mover=Fails)
    with hub.opened(), pytest.raises(ExceptionGroup) as caught:
        await hub.run()
    assert caught.group_contains(RuntimeError, match="a bug")


async def _look_in_vain(hub: CountingHub) -> None:
    async with running(hub) as edge:
        call = await edge.call()
        epoll, nothing = hub._mover.fileno(), os.open(os.devnull, os.O_RDONLY)
        kept = os.dup(epoll)
        time.sleep(0.002)  # noqa: ASYNC251 - a step that takes its time
        os.dup2(nothing, epoll)
        try:
            hub.turn_if_due()
        except OSError as error:
            raise AssertionError("Trio would only log it") from error
        os.dup2(kept, epoll)
        os.close(kept)
        os.close(nothing)
        try:
            await trio.sleep(5)
        finally:
            call.hang_up()


# Trio logs what an instrument raises, and goes on without it.
async def test_a_look_between_two_steps_that_fails_ends_the_hub(make_mover: MakeMover) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await _look_in_vain(CountingHub(mover=make_mover))
    assert caught.group_contains(OSError)


# Trio's epoll stays ready until Trio itself has looked: a turn that counted it would go on for as long as it may.
def test_an_event_of_trio_is_no_event_of_a_tunnel(make_mover: MakeMover) -> None:
    mover, trios, bell = make_mover(bytearray(8)), select.epoll(), os.eventfd(1)
    try:
        trios.register(bell, select.EPOLLIN)
        assert mover.invite(trios.fileno())
        assert mover.step(0.0) == 0
        assert mover.host(0.0, 1.0)
    finally:
        mover.close()
        trios.close()
        os.close(bell)
