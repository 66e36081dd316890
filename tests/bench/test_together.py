from __future__ import annotations

from bench.together import Cost, _costs


def test_a_cost_is_that_of_one_item() -> None:
    costs = _costs([(1.0, 0.5), (2.0, 1.0)], [(2.0, 0.75), (4.0, 2.0)], [1000, 500])
    assert costs == (Cost(1250.0, 250.0), Cost(6000.0, 2000.0))
