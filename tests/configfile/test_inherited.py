"""What the template has parsed is used for exactly the same text and environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splicer.config.load import load
from splicer.configfile import read
from splicer.configfile.inherited import _Kept, inherited, keep
from splicer.configfile.inspect import inspect
from splicer.configfile.read import prepare, prepare_to_serve
from splicer.errors import ConfigError
from splicer.ipc.facts import ConfigSummary

_TEXT = """
[[routes]]
name = "health"
path = "/health"
respond = { status = 200, body = "${BODY}" }
"""
_PATH = Path("routing.toml")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Kept, "parsed", None)
    monkeypatch.setenv("BODY", "fine")


def test_it_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keep(_TEXT, os.environ)
    parsed = inherited(_TEXT, os.environ)
    assert parsed is not None
    assert parsed.config == load(_TEXT, environ=os.environ)
    monkeypatch.setattr(read, "load", None)
    monkeypatch.setattr("splicer.configfile.inspect.load", None)
    for prepared in prepare(_TEXT, _PATH, os.environ), prepare_to_serve(_TEXT, _PATH, os.environ):
        assert prepared.config is parsed.config
        assert prepared.table is parsed.table
    path = tmp_path / "routing.toml"
    path.write_text(_TEXT)
    assert isinstance(inspect(path, None), ConfigSummary)


def test_another_text_or_environment_is_parsed_and_the_old_one_forgotten() -> None:
    for text, environ in (_TEXT + "#", os.environ), (_TEXT, {"BODY": "other"}):
        keep(_TEXT, os.environ)
        before = inherited(_TEXT, os.environ)
        assert before is not None
        assert prepare(text, _PATH, environ).config is not before.config
        assert inherited(_TEXT, os.environ) is None


def test_a_text_with_faults_is_not_kept_and_its_faults_are_told() -> None:
    keep(_TEXT, os.environ)
    keep("[nothing]", os.environ)
    assert _Kept.parsed is None
    with pytest.raises(ConfigError, match=r"routing\.toml: nothing: unknown section"):
        prepare("[nothing]", _PATH, os.environ)


def test_what_is_kept_stays_the_same_when_it_is_asked_for_again() -> None:
    keep(_TEXT, os.environ)
    before = inherited(_TEXT, os.environ)
    keep(_TEXT, os.environ)
    assert inherited(_TEXT, os.environ) is before
