"""A supervisor's title, and who reads it."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splicer.supervisor import locate
from splicer.supervisor.locate import Found, supervisor, supervisors, title_of

_names = st.text(string.ascii_letters + " .=-/é", min_size=1, max_size=40).filter(lambda name: " control=/" not in name)


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(locate, "_PROC", tmp_path)
    return tmp_path


def process(proc: Path, pid: int, title: str, cwd: Path, parent: int = 1) -> None:
    entry = proc / str(pid)
    entry.mkdir(exist_ok=True)
    (entry / "cmdline").write_bytes(os.fsencode(title) + b"\0")
    (entry / "stat").write_text(f"{pid} (a (name)) S {parent} 7 7 0")
    (entry / "cwd").unlink(missing_ok=True)
    (entry / "cwd").symlink_to(cwd)


@given(_names, st.none() | _names)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_title_says_what_was_put_into_it(proc: Path, config: str, control: str | None) -> None:
    path = None if control is None else Path("/") / control.lstrip("/")
    process(proc, 5, title_of(Path(config), path), proc)
    assert supervisor(5) == Found(5, str(Path(config)), path)


def test_it_is_found_by_any_name_of_its_file(proc: Path) -> None:
    process(proc, 5, title_of(Path("routing.toml"), Path("/run/x")), proc)
    process(proc, 6, title_of(proc / "routing.toml", None), Path("/"))
    process(proc, 7, title_of(proc / "other.toml", None), Path("/"))
    process(proc, 8, "vim routing.toml", proc)
    (proc / "self").mkdir()
    assert [one.pid for one in supervisors(proc / "x" / ".." / "routing.toml")] == [5, 6]
    assert supervisors(proc / "other.toml") == [Found(7, str(proc / "other.toml"), None)]


# Some commands found two supervisors while one of them forked.
def test_a_child_that_has_not_executed_its_program_yet_is_none(proc: Path) -> None:
    title = title_of(proc / "routing.toml", None)
    process(proc, 5, title, proc)
    process(proc, 6, title, proc, parent=5)
    process(proc, 4, title, proc, parent=5)
    process(proc, 9, title, proc, parent=3)
    assert [one.pid for one in supervisors(proc / "routing.toml")] == [5, 9]


def test_what_is_no_supervisor(proc: Path) -> None:
    process(proc, 5, f"splicer: handing over {proc}", proc)
    assert supervisor(5) is None
    assert supervisor(6) is None
