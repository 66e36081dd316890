"""The worst input from outside: the cost of reading it, counted in steps of the interpreter."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from bench import parsers
from bench.parsers import INPUTS, KIB, Input

# Byte codes for a KiB, in all functions that take part, dnspython's and h11's too. What the interpreter does in one
# step is linear: each is a search, a copy or an expression that looks at no byte twice (tests/http1/test_patterns.py).
MOST_STEPS = 32_000
FIXED = 6_000  # of any message, however short


def steps(one: Input, size: int) -> int:
    """How many byte codes are executed when an input of about so many bytes is read."""
    data, count = one.make(size), 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        one.run(data)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: f"{one.parser}: {one.name}")
def test_work_is_linear_and_there_is_little_of_it(one: Input) -> None:
    most, half = (steps(one, size) for size in (one.most, one.most // 2))
    assert 0 < most <= FIXED + MOST_STEPS * one.most / KIB
    assert most <= FIXED + 2.2 * half


def test_an_input_is_as_large_as_it_may_be() -> None:
    for one in INPUTS:
        assert 0.9 * one.most <= len(one.make(one.most)) <= one.most, one.name


def test_the_table_has_the_worst_input_of_each_parser(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsers.main(["--seconds", "0.001"]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.split() == ["parser", "input", "KiB", "us/KiB"]
    assert [line[:24].strip() for line in lines] == list(dict.fromkeys(one.parser for one in INPUTS))
    assert all(float(line.split()[-1]) > 0 for line in lines)


def test_all_inputs_are_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsers.main(["--all", "--seconds", "0.001"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert sorted(line[24:56].strip() for line in lines) == sorted(one.name for one in INPUTS)


@pytest.mark.parametrize("seconds", ["0", "x", "61"])
def test_wrong_usage_is_told_in_one_line(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsers.main(["--seconds", seconds])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("python -m bench.parsers: argument --seconds: ")
    assert told.count("\n") == 1
