"""The supervisor's log lines look like the workers'."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.observe import plain_log as module
from splicer.observe.log import make_logger
from splicer.observe.plain_log import PlainLog
from tests.observe.test_log import LONGEST, Lines


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    lines = Lines()
    monkeypatch.setattr(module, "LineWriter", lambda _: lines)
    return lines


def said(lines: Lines, style: str, *arguments: Any, **fields: Any) -> str:
    lines.lines.clear()
    PlainLog(style)(*arguments, **fields)
    [line] = lines.lines
    return str(line)


def test_an_event_is_one_line_of_json_as_the_workers_write_it(lines: Lines) -> None:
    ours = json.loads(said(lines, "json", "worker_died", level="error", slot=3, reason="SIGKILL", who="ü"))
    lines.lines.clear()
    make_logger(lines, "json").error("worker_died", slot=3, reason="SIGKILL", who="ü")  # type: ignore[arg-type]
    theirs = json.loads(lines.lines[0])
    moment = datetime.fromisoformat(ours.pop("time"))
    assert abs(moment - datetime.fromisoformat(theirs.pop("time"))) < timedelta(minutes=1)
    assert moment.tzinfo == UTC
    assert ours == theirs


def test_it_is_of_level_info_unless_told_otherwise(lines: Lines) -> None:
    assert json.loads(said(lines, "json", "ready"))["level"] == "info"


def test_what_is_no_json_is_told_as_text(lines: Lines) -> None:
    line = json.loads(said(lines, "json", "x", what=ValueError("bad"), where={1}))
    assert (line["what"], line["where"]) == ("bad", "{1}")


def test_a_line_for_a_person(lines: Lines) -> None:
    line = said(lines, "console", "worker_serving", slot=3, pid=7)
    assert line.endswith("worker_serving                 slot=3 pid=7")
    assert " [info     ] " in line
    assert said(lines, "console", "stopped").endswith("stopped")


def test_the_style_may_change(lines: Lines) -> None:
    say = PlainLog()
    say("one")
    say.use("console")
    say("two")
    assert [line.startswith("{") for line in lines.lines] == [True, False]


NASTY = st.sampled_from(["", "x", '"', "\\", "\n", "\x00", "ü", "\U0001f600", "\udcff"])


@given(st.lists(st.tuples(NASTY, st.integers(0, 5000)), max_size=5))
def test_no_line_is_too_long_or_broken(nasties: list[tuple[str, int]]) -> None:
    lines = Lines()
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(module, "LineWriter", lambda _: lines)
        fields = {f"field{number}": text * count for number, (text, count) in enumerate(nasties)}
        line = said(lines, "json", "supervisor_error", level="error", **fields)
    assert "\n" not in line
    assert len(line.encode("utf-8", "replace")) < LONGEST
    told = json.loads(line)
    assert (told["event"], told["level"]) == ("supervisor_error", "error")
    for name, value in fields.items():
        told_value = told[name]
        assert told_value == value or (told_value[-1] == "…" and value.startswith(told_value[:-1]))


def test_it_writes_to_stdout_and_may_begin_again(capfd: pytest.CaptureFixture[str]) -> None:
    say = PlainLog()
    say("first")
    say.close()
    say.reopen()
    say("second")
    say.close()
    assert [json.loads(line)["event"] for line in capfd.readouterr().out.splitlines()] == ["first", "second"]


def test_beside_the_combined_format_it_writes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    say = PlainLog()
    say("first")
    say.use("combined")
    say("second")
    say.close()
    out, err = capfd.readouterr()
    assert [json.loads(line)["event"] for line in (out + err).splitlines()] == ["first", "second"]
    assert json.loads(err)["event"] == "second"


def test_a_reader_that_stopped_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    read_fd, write_fd = os.pipe()
    with open(read_fd, "rb"), open(write_fd, "w") as stdout:  # noqa: PTH123  # descriptors
        monkeypatch.setattr("sys.stdout", stdout)
        say = PlainLog()
        for _ in range(2000):
            say("ready", words="x" * 100)
        say.close(seconds=0.1)


def test_why_it_ends_is_one_line_a_fault(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    err = StringIO()
    monkeypatch.setattr("sys.stderr", err)
    PlainLog().die_usage(["a.toml: bad", "a.toml: worse"])
    assert err.getvalue() == "splicer: a.toml: bad\nsplicer: a.toml: worse\n"
    assert lines.lines == []
