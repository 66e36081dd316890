"""`splicer top` and `splicer demo`: what may be typed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from splicer.cli.app import app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["top", "x"], "x"),
        (["top", "--admin", "9901"], "--admin"),
        (["demo", "--calls", "-1"], "--calls"),
        (["demo", "--calls", "501"], "--calls"),
        (["demo", "--once", "--calls", "2"], "nothing after the tour"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, words in result.output) == (2, True), result.output
