"""`splicer import`: what it writes, what it says, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from splicer.cli.app import app
from splicer.config.load import load

CONF = "events {}\nhttp { server { listen 8080; location / { return 200 'ok'; } } }\n"
LOSSY = CONF.replace("return 200", "gzip on; return 200")


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "nginx.conf"
    path.write_text(CONF)
    return path


def test_it_prints_the_file_and_tells_the_rest_on_stderr(source: Path) -> None:
    result = call("nginx", source)
    assert result.exit_code == 0
    assert load(result.stdout, environ={}).routes[0].name == "all"
    assert "6 directives:" in result.stderr


def test_a_loss_is_exit_code_3_and_the_file_is_written(source: Path, tmp_path: Path) -> None:
    source.write_text(LOSSY)
    output, report = tmp_path / "routing.toml", tmp_path / "r.json"
    result = call("nginx", source, "-o", output, "--report", report)
    assert (result.exit_code, result.stdout) == (3, "")
    assert load(output.read_text(), environ={}).routes
    told = json.loads(report.read_text())
    assert [each["text"] for each in told["directives"] if each["verdict"] == "lost"] == ["gzip on"]
    assert f"{report}: 7 directives: 1 lost" in result.stderr


def test_an_unreadable_source_writes_nothing(source: Path, tmp_path: Path) -> None:
    source.write_text(CONF[:-3])
    output = tmp_path / "routing.toml"
    output.write_text("before")
    result = call("nginx", source, "-o", output)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"splicer: {source}:2: ")
    assert output.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nginx.conf", "routing.toml"]


def test_a_link_is_written_through_and_keeps_its_mode(source: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "real.toml", tmp_path / "routing.toml"
    target.write_text("")
    target.chmod(0o600)
    link.symlink_to(target)
    assert call("nginx", source, "-o", link).exit_code == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert load(target.read_text(), environ={}).routes


def test_a_place_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    result = call("nginx", source, "-o", tmp_path / "none" / "routing.toml")
    assert (result.exit_code, "--output: can't write" in result.stderr) == (1, True)


def test_the_environment_is_given_by_name(source: Path) -> None:
    source.write_text(CONF.replace("listen 8080", "listen ${PORT}"))
    assert call("nginx", source).exit_code == 1
    assert 'listen = "0.0.0.0:81"' in call("nginx", source, "--env", "PORT=81").stdout
    assert call("nginx", source, "--env", "PORT").exit_code == 2


def test_the_missing_extra_is_one_line(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("crossplane", "splicer.importer.nginx"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "crossplane", None)
    result = call("nginx", source)
    assert result.exit_code == 1
    assert (
        result.stderr
        == f"splicer: {source}: the importer's parsers are not installed; say: pip install 'splicer[import]'\n"
    )


def test_what_check_would_warn_of_is_told(source: Path) -> None:
    source.write_text(CONF.replace("location / {", "location /* { return 200; } location / {"))
    assert 'warning: routes 1 "' in call("nginx", source).stderr


@pytest.mark.parametrize("kind", ["envoy", "istio"])
def test_the_other_sources(kind: str, tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "docs/examples/migrate"
    result = call(kind, examples / f"guide-{kind}.yaml", "-o", tmp_path / "r.toml", "--no-fold")
    assert result.exit_code == (0 if kind == "envoy" else 3)
    assert len(load((tmp_path / "r.toml").read_text(), environ={}).routes) == 17
