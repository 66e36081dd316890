from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.config.environment import FromEnvironment
from splicer.config.scalars import BadValue, integer
from splicer.config.values import duration, format_duration, size_from, unless


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("3s", 3.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("2d", 172800.0),
        ("1d2h3m4s5ms", 93784.005),
        ("90m", 5400.0),
        ("never", math.inf),
        ("007s", 7.0),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (30, 'a duration needs a unit; write "30s"'),
        (1.5, 'a duration needs a unit; write "1.5s"'),
        (-1, 'a duration needs a unit; write "30s"'),
        (2**70, 'a duration needs a unit; write "30s"'),
        ("30", 'a duration needs a unit; write "30s"'),
        ("0s", '"0s" is no time at all; write "never" to switch it off'),
        ("", '"" is no duration such as "250ms", "3s", "1h30m" or "never"'),
        ("3 s", '"3 s" is no duration such as "250ms", "3s", "1h30m" or "never"'),
        ("-3s", '"-3s" is no duration such as "250ms", "3s", "1h30m" or "never"'),
        ("3s1h", '"3s1h" is no duration such as "250ms", "3s", "1h30m" or "never"'),
        ("1.5s", '"1.5s" is no duration such as "250ms", "3s", "1h30m" or "never"'),
        ("৩s", '"৩s" is no duration such as "250ms", "3s", "1h30m" or "never"'),
        ("9999999999s", '"9999999999s" is no duration such as "250ms", "3s", "1h30m" or "never"'),
        ("3s\n", '"3s\n" is no duration such as "250ms", "3s", "1h30m" or "never"'),
        (True, "must be a string, not true"),
        (None, "must be a string, not a date or time"),
    ],
)
def test_no_duration(value: object, fault: str) -> None:
    with pytest.raises(BadValue) as refused:
        duration(value)
    assert str(refused.value) == fault


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "250ms"), (3600.0, "1h"), (5400.0, "1h30m"), (math.inf, "never"), (0.0, "0s")]
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(1, 10**12))
def test_a_duration_survives_being_written(milliseconds: int) -> None:
    assert duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (32768, 32768),
        ("32KiB", 32768),
        ("64KB", 64000),
        ("10MiB", 10485760),
        ("1GiB", 1073741824),
        ("512B", 512),
        (FromEnvironment("4096"), 4096),
        (FromEnvironment("4KiB"), 4096),
    ],
)
def test_size(value: object, size: int) -> None:
    assert size_from(1)(value) == size


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (0, "must be between 1 and 65536, not 0"),
        ("65KiB", "must be between 1 and 65536, not 66560"),
        ("4096", '"4096" is no size such as 32768, "32KiB" or "10MiB"'),
        ("1kb", '"1kb" is no size such as 32768, "32KiB" or "10MiB"'),
        ("", '"" is no size such as 32768, "32KiB" or "10MiB"'),
        (1.0, "must be an integer, not 1.0"),
    ],
)
def test_no_size(value: object, fault: str) -> None:
    with pytest.raises(BadValue) as refused:
        size_from(1, 65536)(value)
    assert str(refused.value) == fault


def test_a_word_besides() -> None:
    parse = unless("auto", None, integer)
    assert parse("auto") is parse(FromEnvironment("auto")) is None
    assert parse(3) == 3
    with pytest.raises(BadValue, match=r'^must be an integer, not "atuo"; or write "auto"$'):
        parse("atuo")
