"""`splicer tunnels` is a command with commands of its own."""

from __future__ import annotations

from typer.testing import CliRunner

from splicer.cli.tunnels import tunnels


def test_its_commands() -> None:
    result = CliRunner().invoke(tunnels, ["--help"])
    _, _, commands = result.output.partition("Commands:\n")
    assert [line.split()[0] for line in commands.splitlines()] == ["list", "close", "drain"]
