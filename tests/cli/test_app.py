"""What the help says."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from splicer.cli.app import app


@pytest.mark.parametrize("command", [[], ["tunnels"]])
def test_each_command_has_one_whole_line(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    _, _, commands = result.output.partition("Commands:\n")
    lines = commands.splitlines()
    assert len(lines) >= 3
    for line in lines:
        name, _, words = line.strip().partition("  ")
        assert name
        assert words.strip().endswith("."), f"{line!r} continues"
        assert not line.endswith("..."), f"{line!r} is cut"
        assert len(line) <= 80
