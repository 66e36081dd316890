"""Whom the log is for."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator

import pytest

from splicer.observe.log_style import output_of_events, style_of


@pytest.fixture
def terminal() -> Iterator[int]:
    master, slave = pty.openpty()
    yield slave
    os.close(master)
    os.close(slave)


@pytest.fixture
def pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


def test_by_itself_it_is_for_who_reads_it(terminal: int, pipe: int) -> None:
    assert style_of("auto", terminal) == "console"
    assert style_of("auto", pipe) == "json"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_format_that_was_chosen_holds_everywhere(terminal: int, pipe: int, log_format: str) -> None:
    assert style_of(log_format, terminal) == style_of(log_format, pipe) == log_format


def test_events_are_apart_from_the_combined_format(terminal: int, pipe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.dup(pipe), "w") as out, open(os.dup(terminal), "w") as err:  # noqa: PTH123  # descriptors
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        assert output_of_events("combined") == (err.fileno(), "console")
        assert output_of_events("auto") == (out.fileno(), "json")
        assert output_of_events("console") == (out.fileno(), "console")
