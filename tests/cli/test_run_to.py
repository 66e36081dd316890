"""`splicer run --to`: what it stands for, and what doesn't go with it."""

from __future__ import annotations

import tomllib

import pytest
from typer.testing import CliRunner

from splicer.cli.app import app


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["run", *arguments, "--print"])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("to", "address"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        (":8000", "127.0.0.1:8000"),
        ("localhost:8000", "localhost:8000"),
        ("[::1]:8000", "[::1]:8000"),
        ("app.internal:80", "app.internal:80"),
    ],
)
def test_it_can_be_printed(to: str, address: str) -> None:
    file = tomllib.loads(printed("--to", to))
    assert file["upstreams"]["app"]["address"] == address
    assert file["server"] == {"listen": "0.0.0.0:8080", "admin": "127.0.0.1:9901"}
    [route] = file["routes"]
    assert (route["prefix"], route["upgrade"], route["upstream"]) == ("/", ["websocket"], "app")


def test_its_addresses_may_be_chosen() -> None:
    file = tomllib.loads(printed("--to", ":80", "--listen", "[::1]:81", "--admin", "off"))
    assert file["server"] == {"listen": "[::1]:81", "admin": "off"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "8000"], 'write ":8000"'),
        (["--to", "http://app:8000"], 'without "http://"'),
        (["--to", "app"], "has no port"),
        (["--to", ""], "--to"),
        (["--to", "{pod}.app.internal:80"], "a capture needs a route"),
        (["--to", ":80", "--listen", "8080"], "--listen"),
        (["--to", ":80", "--admin", "no"], "--admin"),
        (["--to", ":80", "--watch"], "--watch: can't stand beside --to"),
        (["--to", ":80", "-c", "routing.toml"], "--config: can't stand beside --to"),
        (["--to", ":80", "--last-good", "x"], "--last-good: can't stand beside --to"),
        (["--listen", ":80"], "--listen: goes with --to"),
        (["--admin", "off"], "--admin: goes with --to"),
        (["--print"], "--print: goes with --to"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["run", *arguments])
    assert (result.exit_code, words in result.output) == (2, True), result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "169.254.169.254:80"], "never dialled"),
        (["--to", ":80", "--listen", ":9901"], "127.0.0.1:9901 is taken by"),
    ],
)
def test_what_no_file_may_say(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["run", *arguments])
    assert (result.exit_code, words in result.output) == (1, True), result.output
