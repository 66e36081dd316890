"""What the help says, and what a start does not wait for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_a_directory_without_a_file_is_told_what_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["run"])
    assert (result.exit_code, result.output) == (
        1,
        "splicer: routing.toml: there is no such file; name one with -c, or say --to HOST:PORT to go without one\n",
    )


_RUN = """
import sys
from splicer.cli.app import app
from splicer.supervisor import launch
def become(module, arguments, fds):
    heavy = sorted({"trio", "attr", "cattrs", "splicer.config.load"} & set(sys.modules))
    print(module, arguments.path, arguments.template, fds, heavy)
launch.become = become
app(["run", "-c", "some.toml"])
"""


def test_a_start_by_a_file_imports_only_what_it_needs() -> None:
    """Half a second would go by before the supervisor begins."""
    ran = subprocess.run([sys.executable, "-c", _RUN], capture_output=True, text=True, check=True)
    assert ran.stdout == "splicer.supervisor some.toml None [] []\n"
