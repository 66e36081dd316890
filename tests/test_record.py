"""What the record computes of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.record import AttemptOutcome, Record

_SECONDS = st.floats(0, 100)
_PARTS = st.tuples(_SECONDS, _SECONDS, _SECONDS)


@given(times=st.lists(_PARTS, max_size=4))
def test_the_parts_of_a_handshake_are_those_of_all_attempts(times: list[tuple[float, float, float]]) -> None:
    attempts = [
        AttemptOutcome("any", resolve=resolve, connect=connect, handshake=handshake)
        for resolve, connect, handshake in times
    ]
    parts = Record("a", "192.0.2.7", 1.0, attempts=attempts).parts
    sums = [sum(each) for each in zip((0.0, 0.0, 0.0), *times, strict=True)]
    assert (parts.resolve, parts.connect, parts.handshake) == pytest.approx(tuple(sums))
