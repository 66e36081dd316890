from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.rates import UNITS, Rate


@pytest.mark.parametrize(("unit", "second"), [("s", 1.0), ("m", 60.0), ("h", 3600.0)])
@given(count=st.integers(1, 10**6))
def test_so_many_requests_take_their_unit(unit: str, second: float, count: int) -> None:
    rate = Rate(count, unit)
    assert rate.interval * count == pytest.approx(second)
    assert str(rate) == f"{count}/{unit}"


def test_a_longer_unit_is_a_slower_rate() -> None:
    assert sorted(UNITS, key=lambda unit: Rate(7, unit).interval) == ["s", "m", "h"]
