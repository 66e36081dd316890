from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import splicer
from splicer.supervisor import metrics_dir
from splicer.supervisor.metrics_dir import MetricsDirectory
from tests.kit.descriptors import none_left_open

_EDGE = """
import sys, time
from pathlib import Path
from splicer.supervisor import metrics_dir
from splicer.supervisor.metrics_dir import MetricsDirectory
counts = MetricsDirectory.make(sys.argv[1:])
Path(counts.path, "counter_1.db").write_bytes(b"counts")
print(counts.path, flush=True)
time.sleep(60)
"""


@contextmanager
def _edge(*places: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another edge that is running, and its directory."""
    line = [sys.executable, "-c", _EDGE, *map(str, places)]
    root = Path(splicer.__file__).parents[1]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=root) as edge:
        try:
            assert edge.stdout is not None
            yield edge, Path(edge.stdout.readline().strip())
        finally:
            edge.kill()


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What an edge has left that was killed."""
    with _edge(tmp_path) as (edge, path):
        edge.kill()
        edge.wait()
    assert (path / "counter_1.db").exists()
    return path


def _make(*places: Path) -> MetricsDirectory:
    made = MetricsDirectory.make([str(place) for place in places])
    assert made is not None
    return made


def _is_locked(path: str) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_it_is_new_empty_locked_and_for_nobody_else(tmp_path: Path) -> None:
    with none_left_open():
        one, other = _make(tmp_path), _make(tmp_path)
        assert one.path != other.path
        for made in (one, other):
            assert Path(made.path).parent == tmp_path
            assert list(Path(made.path).iterdir()) == []
            assert Path(made.path).stat().st_mode & 0o777 == 0o700
            assert _is_locked(made.path)
            assert not os.get_inheritable(made.fd)
        one.remove()
        other.remove()


def test_it_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    made = _make(tmp_path)
    Path(made.path, "counter_1.db").write_bytes(b"counts")
    made.remove()
    assert list(tmp_path.iterdir()) == []


def test_it_may_be_gone_already(tmp_path: Path) -> None:
    with none_left_open():
        made = _make(tmp_path)
        Path(made.path).rmdir()
        made.remove()


def test_an_upgrade_keeps_the_lock(tmp_path: Path) -> None:
    before = _make(tmp_path)
    after = MetricsDirectory(before.path, os.dup(before.fd))
    os.close(before.fd)
    assert _is_locked(after.path)
    after.remove()


def test_what_a_killed_edge_has_left_is_tidied(tmp_path: Path, left: Path) -> None:
    with none_left_open():
        made = _make(tmp_path)
        assert not left.exists()
        assert list(tmp_path.iterdir()) == [Path(made.path)]
        made.remove()


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    with _edge(tmp_path) as (_, used):
        made = _make(tmp_path)
        assert (used / "counter_1.db").read_bytes() == b"counts"
        made.remove()
        assert used.exists()


def test_what_is_another_users_stays(tmp_path: Path, left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    _make(tmp_path).remove()
    assert (left / "counter_1.db").exists()


def test_a_link_leads_nowhere(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    place = tmp_path / "place"
    place.mkdir()
    link = place / "splicer-metrics-link"
    link.symlink_to(precious)
    _make(place).remove()
    assert (precious / "file").read_text() == "kept"
    assert link.is_symlink()


def test_files_and_other_directories_stay(tmp_path: Path) -> None:
    file, directory = tmp_path / "splicer-metrics-file", tmp_path / "splicer"
    file.write_text("kept")
    directory.mkdir()
    _make(tmp_path).remove()
    assert sorted(tmp_path.iterdir()) == [directory, file]


def test_another_place_takes_it_if_the_first_does_not(tmp_path: Path) -> None:
    no_directory = tmp_path / "file"
    no_directory.touch()
    second = tmp_path / "second"
    second.mkdir()
    made = _make(tmp_path / "missing", no_directory, second)
    assert Path(made.path).parent == second
    made.remove()


def test_a_killed_edges_other_place_is_tidied_when_it_is_used(tmp_path: Path, left: Path) -> None:
    _make(tmp_path / "missing", tmp_path).remove()
    assert not left.exists()


def test_one_that_cannot_be_locked_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        place.mkdir()
    really = fcntl.flock

    def unlockable(fd: int, how: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink().parent == first:
            raise OSError("no locks here")
        really(fd, how)

    with none_left_open():
        monkeypatch.setattr(fcntl, "flock", unlockable)
        made = _make(first, second)
        assert Path(made.path).parent == second
        made.remove()


def test_there_may_be_none_at_all(tmp_path: Path) -> None:
    with none_left_open():
        assert MetricsDirectory.make([str(tmp_path / "missing")]) is None
        assert MetricsDirectory.make([]) is None


# Between the making and the locking another edge may begin, and tidy.
def test_one_that_was_tidied_before_it_was_locked_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = fcntl.flock

    def late(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", really)
        _make(tmp_path).remove()
        really(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    made = MetricsDirectory.make([str(tmp_path)])
    assert made is None or Path(made.path).is_dir()


@pytest.mark.parametrize("named", [True, False])
def test_where_it_is_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, named: bool) -> None:
    """A read-only root may have no directory for temporary files."""
    monkeypatch.setattr(metrics_dir, "_SHARED_MEMORY", str(tmp_path / "missing"))
    monkeypatch.setattr(metrics_dir, "_TEMPORARY", str(tmp_path / ("missing" if named else "")))
    monkeypatch.setenv("TMPDIR", str(tmp_path) if named else "")
    counts = MetricsDirectory.make()
    assert counts is not None
    assert Path(counts.path).parent == tmp_path
    counts.remove()
