"""A configuration that is parsed once, in the template: those that are forked later have it, and need not parse it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splicer.configfile import inherited
from splicer.ipc.wire import text_file
from splicer.template import parsing
from splicer.template.parsing import parse
from tests.kit.descriptors import none_left_open
from tests.template.stand import Stand

_ROUTE = """
[[routes]]
name = "{name}"
path = "/health"
respond = {{ status = 200, body = "fine" }}
"""
_PATH = Path("/etc/routing.toml")


def test_those_that_are_forked_later_have_it(template: Stand) -> None:
    template.parse(_PATH, _ROUTE.format(name="first"))
    assert template.fork()[1]["parsed"] == ["first"]
    template.parse(_PATH, _ROUTE.format(name="second"))
    assert template.fork()[1]["parsed"] == ["second"]


@pytest.mark.parametrize("text", ["[[routes", "[server]\nlisten = 7", "", "a = " + "[" * 5000, "\0"])
def test_what_has_faults_is_left_to_those_that_need_it(template: Stand, text: str) -> None:
    template.parse(_PATH, text)
    assert template.fork()[1]["parsed"] is None


def test_the_file_is_read_if_no_text_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "settle", lambda: None)
    monkeypatch.setattr(inherited._Kept, "parsed", None)
    path = tmp_path / "routing.toml"
    with none_left_open():
        parse(str(path), None)
        assert inherited._Kept.parsed is None
        os.mkfifo(path)
        parse(str(path), None)
        assert inherited._Kept.parsed is None
        path.unlink()
        path.write_text(_ROUTE.format(name="of-the-file"))
        parse(str(path), None)
        found = inherited.inherited(path.read_text(), os.environ)
        assert found is not None
        assert found.config.routes[0].name == "of-the-file"
        parse("/nonexistent", text_file(_ROUTE.format(name="of-the-text")))
        assert inherited.inherited(_ROUTE.format(name="of-the-text"), os.environ)


def test_a_text_that_it_has_parsed_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were forked meanwhile share the memory as it is."""
    steps: list[str] = []
    monkeypatch.setattr(parsing, "loosen", lambda: steps.append("loosen"))
    monkeypatch.setattr(parsing, "settle", lambda: steps.append("settle"))
    monkeypatch.setattr(inherited._Kept, "parsed", None)
    for name, times in (("first", 2), ("second", 1)):
        for _ in range(times):
            parse("routing.toml", text_file(_ROUTE.format(name=name)))
    assert steps == ["loosen", "settle"] * 2


def test_not_even_a_bug_ends_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(parsing, "keep", fail)
    with none_left_open():
        parse("routing.toml", text_file("text"))
