from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.traffic.load import Load


@given(st.integers(1, 300), st.integers(1, 8), st.integers(1, 5))
def test_the_parts_are_the_whole(tunnels: int, processes: int, targets: int) -> None:
    paths = tuple(f"/{number}" for number in range(targets))
    parts = Load(("", 1), paths, 1.0, tunnels=tunnels, rate=50.0).shares(processes)
    assert sum(part.tunnels for part in parts) == tunnels
    assert {part.rate for part in parts} == {50.0}
    used = [part.targets[turn % targets] for part in parts for turn in range(part.tunnels)]
    assert used == [paths[turn % targets] for turn in range(tunnels)]


def test_a_rate_of_all_calls_is_shared() -> None:
    parts = Load(("", 1), ("/",), 1.0, clients=5, rate=900.0).shares(3)
    assert sum(part.rate for part in parts) == pytest.approx(900.0)
    assert [part.clients for part in parts] == [1, 2, 2]
