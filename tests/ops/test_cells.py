"""Whatever an answer has, a cell is one short printable text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ops import cells

_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(value=_ANYTHING)
@pytest.mark.parametrize("show", [cells.words, cells.span, cells.milliseconds, cells.size, cells.names])
def test_any_value_becomes_printable(show: Any, value: object) -> None:
    text = show(value)
    assert text
    assert text.isprintable()


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (cells.words, True, "yes"),
        (cells.words, "", "-"),
        (cells.words, 0, "0"),
        (cells.span, 3725.9, "1h2m5s"),
        (cells.span, -1, "-"),
        (cells.span, "7", "-"),
        (cells.milliseconds, 0, "0.0ms"),
        (cells.milliseconds, 48.25, "48.2ms"),
        (cells.size, 999, "999B"),
        (cells.size, 1000, "1.0kB"),
        (cells.size, 29_800_000, "29.8MB"),
        (cells.size, 10**17, "100.0PB"),
        (cells.names, ["a", 1], "a,1"),
        (cells.names, "a", "-"),
    ],
)
def test_values(show: Any, value: object, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**18, -0.5, None, "1", [1]])
def test_what_is_no_number(value: object) -> None:
    assert cells.number(value) is None
