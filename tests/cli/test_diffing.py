"""`splicer diff`: its exit codes, and what it reads."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from splicer.cli.app import app

EXAMPLES = Path(__file__).parents[2] / "docs/examples/migrate"
TOML = '[upstreams.a]\naddress = "a.x:80"\n[[routes]]\nname = "all"\nprefix = "/"\nupstream = "a"\n'


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["diff", *map(str, arguments)])


def test_exit_codes(tmp_path: Path) -> None:
    old, new, broken = (tmp_path / name for name in ("old.toml", "new.toml", "broken.toml"))
    old.write_text(TOML)
    new.write_text(TOML.replace("a.x", "b.x"))
    broken.write_text(TOML.replace("address", "adress"))
    assert (call(old, old).exit_code, call(old, old).stdout) == (0, "no difference\n")
    assert call(old, new).exit_code == 3
    assert "upstream   a.x:80 → b.x:80" in call(old, new).stdout
    assert call(old, broken).exit_code == 1
    assert call(tmp_path / "none.toml", old).exit_code == 1
    assert call(tmp_path / "none.yaml", old).exit_code == 1
    told = json.loads(call(old, new, "--json").stdout)
    assert told["requests"][0]["elsewhere"] is True


def test_sources_are_imported_first(tmp_path: Path) -> None:
    made = tmp_path / "routing.toml"
    source = EXAMPLES / "production-nginx.conf"
    env = ("--env", "KUBE_DNS_IP=10.0.0.1")
    assert CliRunner().invoke(app, ["import", "nginx", str(source), "-o", str(made), *env]).exit_code == 0
    assert call(source, made, *env).stdout == "no difference\n"
    assert call(source, made).exit_code == 1
    for name in ("guide-envoy.yaml", "guide-istio.yaml"):
        assert call(EXAMPLES / name, made).exit_code == 3
    assert "no route" in call(EXAMPLES / "guide-envoy.yaml", EXAMPLES / "guide-istio.yaml").stdout
