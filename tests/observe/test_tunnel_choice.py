"""Which tunnels a worker chooses for who looks: those that are wanted, the first ones, without holding up frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.ipc.queries import AskTunnels
from splicer.model import Endpoint
from splicer.observe import tunnel_choice
from splicer.observe.tunnel_choice import TunnelRates, first_tunnels
from splicer.quality import Quality
from tests.observe.still import StillRelay, StillTunnel, record, still


def chosen(relay: StillRelay, rates: TunnelRates | None = None, **wanted: Any) -> list[int]:
    """The numbers of the tunnels."""
    found: list[Any] = []

    def choose() -> Iterator[list[Any]]:
        made = TunnelRates(relay) if rates is None else rates
        found.extend((yield from first_tunnels(relay, AskTunnels(1, **{"most": 1000, **wanted}), made)))

    assert all(batch == [] for batch in choose())
    return [int(one.owner.id, 16) for one in found]


def aged(number: int, age: float, **more: Any) -> StillTunnel:
    return still(record(number, started=trio.current_time() - age, **more))


async def test_the_oldest_come_first_and_no_more_than_are_wanted(mock_clock: MockClock) -> None:
    relay = StillRelay(aged(1, 5), aged(2, 50), aged(3, 1), aged(4, 20))
    assert chosen(relay) == [2, 4, 1, 3]
    assert chosen(relay, most=2) == [2, 4]
    relay.shown[1].alive = False
    assert chosen(relay, most=2) == [4, 1]


async def test_of_equal_ones_the_first_are_chosen(mock_clock: MockClock) -> None:
    relay = StillRelay(*(aged(number, 1) for number in range(700)))
    assert chosen(relay, most=3) == [0, 1, 2]


async def test_the_longest_silent_ones(mock_clock: MockClock) -> None:
    relay = StillRelay(aged(1, 5), aged(2, 5), aged(3, 5))
    for one, silent in zip(relay.shown, (3, 9, 1), strict=True):
        one.last = trio.current_time() - silent
    assert chosen(relay, sort="idle") == [2, 1, 3]


async def test_the_worst_lines(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        1: (Quality(0.010, 9), Quality(0.300, 0)),
        2: (Quality(0.020, 0), Quality(0.020, 0)),
        3: (None, None),
        4: (Quality(0.200, 1), None),
    }
    monkeypatch.setattr(tunnel_choice, "line_qualities", lambda one: lines[int(one.owner.id, 16)])
    relay = StillRelay(*(aged(number, 1) for number in lines))
    assert chosen(relay, sort="rtt") == [1, 4, 2, 3]
    assert chosen(relay, sort="retransmits") == [1, 4, 2, 3]


async def test_those_of_a_route_or_a_pod(mock_clock: MockClock) -> None:
    other = Endpoint("pod-2", "10.0.0.2", 8000)
    relay = StillRelay(aged(1, 9), aged(2, 8, endpoint=other), aged(3, 7, route="web"), aged(4, 6, endpoint=None))
    assert chosen(relay, route="web") == [3]
    assert chosen(relay, pod="pod-2") == [2]
    assert chosen(relay, pod="10.0.0.2") == [2]
    assert chosen(relay, pod="10.0.0.2", route="web") == []
    assert chosen(relay, pod="nobody") == []


async def test_the_most_bytes_since_the_last_look(mock_clock: MockClock) -> None:
    relay = StillRelay(aged(1, 5), aged(2, 5), aged(3, 5))
    rates = TunnelRates(relay)
    relay.shown[0].to_pod = 1_000_000
    assert chosen(relay, rates, sort="rate") == [1, 2, 3]
    assert [rates.of(one) for one in relay.shown] == [None] * 3, "it takes two looks"
    mock_clock.jump(2)
    relay.shown[1].to_pod, relay.shown[2].to_client = 100, 500
    relay.shown.append(aged(4, 0))
    assert chosen(relay, rates, sort="rate") == [3, 2, 1, 4]
    assert [rates.of(one) for one in relay.shown] == [0.0, 50.0, 250.0, None]
    mock_clock.jump(0.5)
    relay.shown[0].to_pod += 10_000
    assert chosen(relay, rates, sort="rate") == [3, 2, 1, 4], "another looker of the same moment"
    mock_clock.jump(11)
    assert chosen(relay, rates, sort="rate") == [1, 2, 3, 4], "nobody has looked for a while"
    assert rates.of(relay.shown[0]) is None


async def test_other_tasks_run_in_between(mock_clock: MockClock) -> None:
    relay = StillRelay(*(aged(number, 1) for number in range(600)))
    for sort, pauses in (("age", 3 + 3), ("rtt", 3 + 19)):
        batches = list(first_tunnels(relay, AskTunnels(1, most=5, sort=sort), TunnelRates(relay)))
        assert batches == [[]] * pauses, "256 at a time, and 32 if the kernel is asked"


@given(ages=st.lists(st.integers(0, 20), max_size=600), most=st.integers(1, 50))
def test_slices_choose_as_one_look_would(ages: list[int], most: int) -> None:
    async def compare() -> None:
        relay = StillRelay(*(aged(number, age) for number, age in enumerate(ages)))
        expected = sorted(range(len(ages)), key=lambda number: -ages[number])[:most]
        assert chosen(relay, most=most) == expected

    trio.run(compare, clock=MockClock())
