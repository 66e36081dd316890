"""Times and sizes of nginx."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.config import values
from splicer.importer.times import duration, seconds_of, size_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        ("30s", 30.0),
        ("500ms", 0.5),
        ("1h 30m", 5400.0),
        ("1h30m", 5400.0),
        ("1.5m", 90.0),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        ("1M", 2_592_000.0),
        ("1m", 60.0),
        ("1y", 31_536_000.0),
        ("0", 0.0),
        ("", None),
        ("s", None),
        ("-1s", None),
        ("1x", None),
        ("1s!", None),
        ("$variable", None),
    ],
)
def test_times(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == pytest.approx(seconds) if seconds is not None else seconds_of(text) is None


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["h", "m", "s", "ms"])), min_size=1, max_size=4))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    whole = seconds_of(" ".join(f"{number}{unit}" for number, unit in parts))
    assert whole == pytest.approx(sum(seconds_of(f"{number}{unit}") or 0.0 for number, unit in parts))


@given(st.integers(1, 10**7))
def test_a_duration_is_read_again_as_it_was(milliseconds: int) -> None:
    assert values.duration(duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


def test_no_deadline_is_never() -> None:
    assert duration(0.0) == "never"


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("1000", 1000), ("8k", "8KiB"), ("8K", "8KiB"), ("1m", "1MiB"), ("2g", "2GiB"), ("1024k", "1MiB"),
     ("0", "unlimited"), ("0k", "unlimited"), ("", None), ("1kb", None), ("k", None), ("1.5m", None), ("-1", None)],
)  # fmt: skip
def test_sizes(text: str, size: int | str | None) -> None:
    assert size_of(text) == size
