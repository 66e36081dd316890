"""Whoever looks at many tunnels lets their frames pass."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.queries import AskTunnels
from splicer.observe import tunnel_rows
from splicer.observe.between_frames import between_frames
from splicer.observe.tunnel_choice import TunnelRates
from tests.observe.still import StillRelay, StillTunnel, record, still


@given(st.lists(st.booleans(), max_size=100), st.integers(1, 40))
def test_all_that_are_alive_in_their_order_and_a_turn_after_each_few(alive: list[bool], few: int) -> None:
    tunnels = [StillTunnel(cast("Any", None), alive=one, last=0.0) for one in alive]
    relay = StillRelay(*tunnels)
    assert list(between_frames(relay, tunnels, few)) == [one for one in tunnels if one.alive]
    assert relay.turns == -(-len(tunnels) // few)


async def test_one_that_ends_meanwhile_is_left_out() -> None:
    first, second = still(), still()

    class Ends(StillRelay):
        def turn_if_due(self) -> None:
            second.alive = False

    assert list(between_frames(Ends(), [first, second], 1)) == [first]


@pytest.mark.parametrize("sort", ["age", "rate", "rtt"])
async def test_a_table_of_a_thousand_calls_lets_frames_pass_all_along(sort: str) -> None:
    relay = StillRelay(*(still(record(number)) for number in range(1000)))
    for _ in tunnel_rows.tunnels(relay, 1, AskTunnels(1, sort=sort, most=200), TunnelRates(relay)):
        pass
    assert relay.turns >= 2 * 1000 // 32 + 200
