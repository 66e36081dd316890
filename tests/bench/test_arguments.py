"""How a path is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.arguments import shown


def test_a_path_is_relative_where_that_is_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "results" / "a.json") == "results/a.json"
    assert shown(tmp_path.parent / "a.json") == str(tmp_path.parent / "a.json")


def test_a_path_is_no_format_of_argparse() -> None:
    assert shown(Path("/runs/100%s")) == "/runs/100%%s"


def test_a_path_is_shown_even_from_a_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert shown(Path("/runs/a.json")) == "/runs/a.json"
