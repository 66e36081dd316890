"""The sweep: as long as there are tunnels, each is looked at; where there are none, nobody is woken."""

from __future__ import annotations

import math

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.relay.liveness import PeerLiveness
from splicer.relay.tunnel import Leg, Tunnel
from tests.relay.harness import CountingHub, running


class Looks(PeerLiveness):
    """Notes when each tunnel was looked at."""

    def __init__(self) -> None:
        super().__init__(every=0.0)
        self.times: list[float] = []

    def look(self, tunnel: Tunnel) -> Leg | None:
        self.times.append(trio.current_time())
        return None


def _seconds_to_next_deadline() -> float:
    return trio.lowlevel.current_statistics().seconds_to_next_deadline


async def test_without_a_tunnel_nobody_is_woken(mock_clock: MockClock) -> None:
    async with running(CountingHub()):
        await wait_all_tasks_blocked()
        mock_clock.jump(1000)
        await wait_all_tasks_blocked()
        assert _seconds_to_next_deadline() == math.inf


async def test_from_the_first_tunnel_to_the_last_there_is_one_a_second(mock_clock: MockClock) -> None:
    looks = Looks()
    async with running(CountingHub(looks)) as edge:
        await wait_all_tasks_blocked()
        mock_clock.jump(1000.5)
        call = await edge.call()
        assert _seconds_to_next_deadline() == 1.0
        for _ in range(3):
            mock_clock.jump(1.0)
            await wait_all_tasks_blocked()
        assert looks.times == [1001.5, 1002.5, 1003.5]
        call.hang_up()
        await call.over()
        mock_clock.jump(1.0)
        await wait_all_tasks_blocked()
        assert _seconds_to_next_deadline() == math.inf
        other = await edge.call()
        mock_clock.jump(1.0)
        await wait_all_tasks_blocked()
        assert looks.times[3:] == [1005.5]
        other.hang_up()
