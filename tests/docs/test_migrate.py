"""docs/migrate.md shows what `splicer import` prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from splicer.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "migrate.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```console\n\$ splicer ([^\n]*)\n(.*?)```", PAGE, re.DOTALL)


def test_each_configuration_is_shown() -> None:
    assert len(SHOWN) == 4
    files = {path.name for path in (DOCS / "examples/migrate").iterdir()}
    assert {Path(shlex.split(command)[2]).name for command, _ in SHOWN} == files


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command.split()[2] for command, _ in SHOWN])
def test_it_is_what_the_command_prints(command: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code in (0, 3)
    printed = result.stdout + result.stderr
    place = 0
    for part in re.split(r"^…\n", shown, flags=re.MULTILINE):
        found = printed.find(part, place)
        assert found >= 0, f"not printed:\n{part}"
        place = found + len(part)
