"""What the demo prints."""

from __future__ import annotations

import errno
import sys
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.demo.failure import DemoFailed
from splicer.demo.story import Story, shortened


def test_a_log_line_about_a_call_has_its_main_fields() -> None:
    entry = {
        "event": "tunnel_close",
        "time": "2026-01-01",
        "route": "pod-websocket",
        "path": "/ws/pod/" + "x" * 100,
        "host": "127.0.0.1",
        "attempts": [
            {"upstream": "pod", "endpoint": None, "failure": "name_not_found"},
            {"upstream": "any-pod", "endpoint": "10.0.0.1:80", "failure": None},
        ],
        "closed_by": None,
        "bytes_to_pod": 0,
    }
    attempts = "[pod None name_not_found, any-pod 10.0.0.1:80 ok]"
    line = f"tunnel_close route=pod-websocket path=/ws/pod/{'x' * 29}... attempts={attempts} bytes_to_pod=0"
    assert shortened(entry) == line


def test_any_other_log_line_has_all_but_time_and_level() -> None:
    reload = {"event": "reload", "time": "", "level": "info", "file": "f", "changes": ["a", "b"], "gone": None}
    assert shortened(reload) == "reload file=f changes=a; b"


@given(st.text("abc/", max_size=100))
def test_a_path_has_at_most_forty_characters(path: str) -> None:
    said = shortened({"event": "e", "route": "r", "path": path}).removeprefix("e route=r path=")
    assert len(said) <= 40
    assert said == path or (said.endswith("...") and path.startswith(said[:-3]))


# A path or a URL is whatever somebody sends, and must be whole to be pasted.
@pytest.mark.parametrize("text", ["[red]a[/red] :smile: 127.0.0.1", "x" * 500, "http://a.test/" + "y " * 200])
def test_a_line_is_printed_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    story = Story()
    story.title(text)
    story.line(text)
    story.log({"event": text})
    assert capsys.readouterr().out == f"\n{text}\n   {text}\n   edge log: {text}\n"


def test_a_stdout_that_takes_no_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(DemoFailed, match=r"^stdout: No space left on device$"):
        Story().line("x")
