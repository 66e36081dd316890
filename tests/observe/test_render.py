"""One event as one line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.observe.log import make_logger
from splicer.observe.render import console_line, json_line, json_line_of, json_text
from tests.observe.test_log import Lines

LONGEST = 4096  # bytes with the newline: PIPE_BUF


def test_the_fields_come_first() -> None:
    assert list(json.loads(json_line("happened", "info", {"b": 1, "a": 2}))) == ["b", "a", "event", "level", "time"]


def test_very_many_fields_are_cut() -> None:
    told = json.loads(json_line("happened", "error", {f"field {number}": number for number in range(2000)}))
    assert (told["event"], told["level"]) == ("happened", "error")
    assert told["cut"].startswith('{"field 0": 0, ')


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.lists(st.text())))
def test_a_line_for_a_person_is_one_line(fields: dict[str, object]) -> None:
    line = console_line("happened", "info", {f"k{number}": value for number, value in enumerate(fields.values())})
    assert len(line.splitlines()) == 1
    assert line.isprintable()


@pytest.mark.parametrize(
    ("value", "told"), [("word", "word"), ("two words", "'two words'"), ("a\nb", r"'a\nb'"), (3, "3"), ("", "")]
)
def test_a_value_for_a_person(value: object, told: str) -> None:
    assert console_line("happened", "info", {"key": value}).split("key=")[1:] == [told]


@pytest.mark.parametrize(("level", "color"), [("error", "\x1b[31m"), ("warning", "\x1b[33m"), ("info", "")])
def test_colors(level: str, color: str) -> None:
    line = console_line("happened", level, {}, colors=True)
    assert f"[{color}{level:<9}\x1b[0m]" in line
    assert "\x1b" not in console_line("happened", level, {})


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.none() | st.text(max_size=3) | st.just('"\\\x00ä' * 900), min_size=1)
)
def test_a_line_of_fields_that_are_json_is_the_same(fields: dict[str, str | None]) -> None:
    members = ", ".join(f'"{key}": {"null" if value is None else json_text(value)}' for key, value in fields.items())
    lines = [json_line_of("happened", "info", members), json_line("happened", "info", fields)]
    assert all("\n" not in line and len(line.encode()) < LONGEST for line in lines)
    one, other = [json.loads(line) for line in lines]
    assert list(one) == list(other)
    assert one.pop("time") <= other.pop("time")
    assert one == other


def test_a_person_gets_the_same_fields() -> None:
    lines = Lines()
    make_logger(lines, "console").info_json("happened", '"why": "because", "many": [1, null]')  # type: ignore[arg-type]
    assert lines.lines[0].endswith("happened                       why=because many='[1, None]'")
