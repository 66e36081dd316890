"""What is typed wrongly is exit code 2, and nothing is asked."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from splicer.cli.app import app
from tests.ops.admin import Admin


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tunnels"], "list"),
        (["tunnels", "fly"], "fly"),
        (["tunnels", "close"], "ID"),
        (["tunnels", "drain", "--pod", "p", "--route", "r"], "not both"),
        (["tunnels", "drain", "--pod", ""], "--pod: is empty"),
        (["tunnels", "drain", "--route", ""], "--route: is empty"),
        (["tunnels", "drain", "--undo", "--wait"], "nothing to wait for"),
        (["tunnels", "drain", "--timeout", "3s"], "goes with --wait"),
        (["tunnels", "drain", "--wait", "--timeout", "3"], "needs a unit"),
        (["tunnels", "drain", "everything"], "everything"),
        (["status", "x"], "x"),
    ],
)
def test_wrong_usage(admin: Admin, arguments: list[str], words: str) -> None:
    where = ["--admin", admin.address] if arguments != ["tunnels"] else []
    result = CliRunner().invoke(app, [*arguments, *where])
    assert (result.exit_code, words in result.output) == (2, True), result.output
    assert not admin.asked


@pytest.mark.parametrize("command", [["status"], ["tunnels", "list"], ["tunnels", "close", "x"], ["tunnels", "drain"]])
def test_a_wrong_address(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--admin", "9901"])
    assert (result.exit_code, "--admin" in result.output) == (2, True), result.output
