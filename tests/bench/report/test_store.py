"""A report's file: what is written is read again, and anything else is refused in one line."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model import Figure, Report, Skipped
from bench.report.store import FORMAT, NoReport, dumps, loads, read
from tests.bench.report.sample import sample

NUMBERS = st.floats(allow_nan=False)
WORDS = st.text(max_size=8)
FIGURES = st.builds(
    Figure, WORDS, WORDS, WORDS, WORDS, st.lists(NUMBERS, min_size=1, max_size=4).map(tuple), st.integers(0, 9)
)
REPORTS = st.builds(
    Report,
    machine=st.dictionaries(WORDS, WORDS, max_size=3),
    versions=st.dictionaries(WORDS, WORDS, max_size=3),
    started=WORDS,
    seconds=NUMBERS,
    settings=st.dictionaries(WORDS, WORDS, max_size=3),
    figures=st.lists(FIGURES, max_size=3).map(tuple),
    skipped=st.lists(st.builds(Skipped, WORDS, WORDS, WORDS), max_size=2).map(tuple),
    notes=st.lists(WORDS, max_size=2).map(tuple),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(REPORTS)
def test_what_is_written_is_read_again(report: Report) -> None:
    assert loads(dumps(report), "a.json") == report


def test_the_sample_comes_back() -> None:
    assert loads(dumps(sample()), "a.json") == sample()


def test_a_number_that_json_lacks_does_not_spoil_the_file() -> None:
    report = Report({}, {}, "now", 1.0, {}, (Figure("kill", "stall_ms", "nginx", "ms", (math.inf,)),))
    text = dumps(report)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert loads(text, "a.json") == report


def refusal(text: str) -> str:
    with pytest.raises(NoReport) as caught:
        loads(text, "a.json")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("a.json ")
    return message


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '{"report": {}}', f'{{"format": "{FORMAT}"}}', "[" * 10000]
)
def test_what_is_no_report(text: str) -> None:
    refusal(text)


def test_another_format_is_named() -> None:
    text = dumps(sample()).replace(FORMAT, "splicer-bench/99")
    assert "'splicer-bench/99'" in refusal(text)
    assert FORMAT in refusal(text)


def changed(**others: Any) -> str:
    content = json.loads(dumps(sample()))
    content["report"] |= others
    return json.dumps(content)


def test_the_place_of_a_fault_is_named() -> None:
    assert "seconds" in refusal(changed(seconds="long"))
    assert "$.figures" in refusal(changed(figures=[{"scenario": "frames"}]))
    assert "colour" in refusal(changed(colour="red"))


def test_a_figure_without_values_is_refused() -> None:
    figure = {"scenario": "frames", "name": "cpu_us", "peer": "nginx", "unit": "us", "values": [], "load_bound": 0}
    assert "frames.cpu_us of nginx" in refusal(changed(figures=[figure]))


@given(JSON, st.sampled_from(["machine", "versions", "seconds", "figures", "skipped", "notes"]))
def test_any_json_is_a_report_or_refused(value: Any, key: str) -> None:
    for text in (changed(**{key: value}), json.dumps({"format": FORMAT, "report": value})):
        with suppress(NoReport):
            loads(text, "a.json")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "absent.json", tmp_path, binary):
        with pytest.raises(NoReport, match=str(path)):
            read(path)
