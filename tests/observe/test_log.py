"""One event is one line of JSON, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from splicer.observe.log import make_logger

LONGEST = 4096  # bytes with the newline: PIPE_BUF


class Lines:
    """As much of a `LineWriter` as a logger needs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)


def logged(**fields: Any) -> str:
    lines = Lines()
    make_logger(lines, "json").info("happened", **fields)  # type: ignore[arg-type]  # see Lines
    [line] = lines.lines
    return line


def test_a_line_says_when_what_and_how_bad() -> None:
    line = json.loads(logged(number=1, text="ä\n", nothing=None, many=["a", {"b": 1.5}]))
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "happened",
        "level": "info",
        "number": 1,
        "text": "ä\n",
        "nothing": None,
        "many": ["a", {"b": 1.5}],
    }


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=10) | st.sampled_from(["\x00" * 3000, "ä" * 5000, '"' * 2000, "ok"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4),
    max_leaves=12,
)


@given(fields=st.dictionaries(st.sampled_from("klmnop"), values, max_size=6))
def test_every_line_is_json_and_fits(fields: dict[str, Any]) -> None:
    line = logged(**fields)
    assert "\n" not in line
    assert len(line.encode("utf-8", "replace")) < LONGEST
    told = json.loads(line)
    assert {"event", "level", "time", *fields} == told.keys()


def test_what_is_short_is_told_whole() -> None:
    fields = {"a": "x" * 3000, "b": ["y" * 100] * 5, "c": {"d": "z" * 200}}
    told = json.loads(logged(**fields))
    assert {key: told[key] for key in fields} == fields


def test_what_is_too_long_is_shortened_where_it_is_long() -> None:
    told = json.loads(logged(short="kept", path="/" + "x" * 9000, changes=[f"change {n}" for n in range(2000)]))
    assert told["short"] == "kept"
    assert told["path"].startswith("/xxxxx")
    assert told["path"].endswith("…")
    assert told["changes"][0] == "change 0"
    assert told["changes"][-1] == f"… {2001 - len(told['changes'])} more"


def test_the_console_is_for_a_person() -> None:
    lines = Lines()
    make_logger(lines, "console").warning("happened", why="because")  # type: ignore[arg-type]  # see Lines
    [line] = lines.lines
    assert "happened" in line
    assert "because" in line
    assert "\x1b" not in line
