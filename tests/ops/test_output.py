"""What the commands write: for a person, for a program, and for nobody any more."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from splicer.ops import output

_FULL = Path("/dev/full")  # full(4): every write fails with ENOSPC


def test_a_state_that_has_not_changed_is_not_shown_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with output.progress() as show:
        for text in ("3 calls", "3 calls", "2 calls", "3 calls"):
            show(text)
    assert capsys.readouterr().out.splitlines() == ["3 calls", "2 calls", "3 calls"]


def test_a_complaint_goes_to_stderr_and_says_who_complains(capsys: pytest.CaptureFixture[str]) -> None:
    output.complain("no such call")
    assert capsys.readouterr() == ("", "splicer: no such call\n")


@pytest.mark.parametrize("stdout", [None, io.StringIO()])
def test_what_is_no_terminal(monkeypatch: pytest.MonkeyPatch, stdout: io.StringIO | None) -> None:
    monkeypatch.setattr(sys, "stdout", stdout)
    assert not output.on_terminal()


def _say(text: str, stdout: int, **environ: str) -> subprocess.CompletedProcess[str]:
    program = f"from splicer.ops.output import say\nsay({text!r})"
    return subprocess.run(
        [sys.executable, "-c", program],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environ,
        check=False,
    )


def test_letters_that_stdout_does_not_have_are_written_otherwise(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+") as out:
        assert _say("caf\u00e9", out.fileno(), PYTHONIOENCODING="ascii").returncode == 0
        out.seek(0)
        assert out.read() == "caf\\xe9\n"


# As every filter does: `splicer tunnels | head` is no failure to tell of.
def test_a_reader_that_has_gone_is_no_reason_to_say_anything() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = _say("a line", writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_full_disk_is_told_of() -> None:
    with _FULL.open("w") as full:
        ended = _say("a line", full.fileno())
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith("AdminFailed: stdout: No space left on device")
