"""What of the load is written in C is made once, and whoever can't make it says why."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest

from bench.traffic import compiler
from bench.traffic.compiler import NoLibrary, library

ANSWER = "int answer(void);\nint answer(void) { return 42; }\n"


@pytest.fixture(autouse=True)
def a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    if not any(map(shutil.which, compiler._NAMES)):
        pytest.skip("no C compiler")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "answer.c"
    path.write_text(ANSWER)
    return path


def test_a_library_is_made_once(source: Path, tmp_path: Path) -> None:
    made = library(source, tmp_path / "build")
    assert ctypes.CDLL(str(made)).answer() == 42
    born = made.stat().st_mtime_ns
    assert library(source, tmp_path / "build") == made
    assert made.stat().st_mtime_ns == born
    assert [path for path in (tmp_path / "build").iterdir() if path != made] == []


def test_a_source_that_has_changed_is_made_anew(source: Path, tmp_path: Path) -> None:
    before = library(source, tmp_path / "build")
    source.write_text(ANSWER.replace("42", "43"))
    after = library(source, tmp_path / "build")
    assert after != before
    assert ctypes.CDLL(str(after)).answer() == 43


def test_a_warning_is_an_error_and_told_in_one_line(source: Path, tmp_path: Path) -> None:
    source.write_text("int answer(void) { int unused; return 42; }\n")
    with pytest.raises(NoLibrary, match=r"failed \(1\)") as refused:
        library(source, tmp_path / "build")
    assert "\n" not in str(refused.value)


def test_a_place_that_can_not_be_had_is_told(source: Path, tmp_path: Path) -> None:
    (tmp_path / "build").touch()
    with pytest.raises(NoLibrary, match=r"answer\.c can't be compiled"):
        library(source, tmp_path / "build")


def test_without_a_compiler_the_remedy_is_told(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoLibrary, match=r"no C compiler .* apt-get install gcc"):
        library(source, tmp_path / "build")


def test_the_compiler_is_the_one_that_was_asked_for(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(NoLibrary, match=r"no C compiler \(no-such-compiler\)"):
        library(source, tmp_path / "build")
