"""What is read again, and what is not: each look is one turn of the supervisor's clock, so no time passes here."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.supervisor.reload import Reload
from splicer.supervisor.watch import Watch
from tests.supervisor.harness import supervisor_harness

_LONG_AGO = 1_000_000_000  # nanoseconds


class Reader:
    """A file, and who reads it when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.watch = Watch(path, on=True)
        self.read()

    def read(self) -> None:
        self.watch.note(self.watch.signature())

    def look(self) -> bool:
        """As the supervisor does once a second."""
        changed = self.watch.look()
        if changed:
            self.read()
        return changed

    def looks(self, count: int) -> list[bool]:
        return [self.look() for _ in range(count)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.toml"
    path.write_text("old")
    return path


@pytest.fixture
def reader(file: Path) -> Reader:
    return Reader(file)


def _rewritten(path: Path) -> None:
    path.write_text("another text")


def _of_the_same_length(path: Path) -> None:
    path.write_text("new")
    os.utime(path, ns=(_LONG_AGO, _LONG_AGO))


def _renamed_over(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_text("new")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def _longer_at_the_same_time(path: Path) -> None:
    status = path.stat()
    path.write_text("longer")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _made_readable(path: Path) -> None:
    path.chmod(stat.S_IMODE(path.stat().st_mode) ^ stat.S_IROTH)


_CHANGES = [_rewritten, _of_the_same_length, _renamed_over, _longer_at_the_same_time, _made_readable, Path.unlink]


def test_a_file_that_stays_is_not_read(reader: Reader) -> None:
    assert reader.looks(5) == [False] * 5


@pytest.mark.parametrize("change", _CHANGES)
def test_a_change_is_read_once_when_it_is_there_at_two_looks(reader: Reader, change: Callable[[Path], None]) -> None:
    reader.look()
    change(reader.path)
    assert reader.looks(5) == [False, True, False, False, False]


@pytest.mark.parametrize("change", _CHANGES)
def test_so_is_one_before_the_first_look(reader: Reader, change: Callable[[Path], None]) -> None:
    change(reader.path)
    assert reader.looks(4) == [False, True, False, False]


def test_what_is_written_in_pieces_is_read_when_it_is_whole(reader: Reader) -> None:
    for count in range(1, 5):
        reader.path.write_text("piece" * count)
        assert not reader.look()
    assert reader.looks(3) == [True, False, False]


def test_what_is_there_for_an_instant_is_not_read(reader: Reader) -> None:
    aside = reader.path.with_name("aside")
    reader.path.rename(aside)
    assert not reader.look()
    aside.rename(reader.path)
    assert reader.looks(3) == [False] * 3


def test_a_file_that_goes_and_comes_back_is_read_twice(reader: Reader) -> None:
    aside = reader.path.with_name("aside")
    reader.path.rename(aside)
    assert reader.looks(4) == [False, True, False, False]
    aside.rename(reader.path)
    assert reader.looks(4) == [False, True, False, False]


def test_a_directory_that_goes_takes_the_file_along(reader: Reader) -> None:
    shutil.rmtree(reader.path.parent)
    assert reader.looks(3) == [False, True, False]


# As a kubelet does it: the file is a link to ..data/FILE, and ..data is replaced by a rename.
def test_the_swap_of_a_volume(tmp_path: Path) -> None:
    def put(name: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "routing.toml").write_text("equal")
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    put("..2026_1")
    file = tmp_path / "routing.toml"
    file.symlink_to("..data/routing.toml")
    reader = Reader(file)
    assert reader.looks(2) == [False, False]
    put("..2026_2")
    shutil.rmtree(tmp_path / "..2026_1")
    assert reader.looks(3) == [False, True, False]


# The owner and the mode of a volume's files are set again and again.
def test_a_mode_that_is_set_again_is_no_change(reader: Reader) -> None:
    before = reader.path.stat()
    reader.path.chmod(stat.S_IMODE(before.st_mode))
    assert reader.path.stat().st_ctime_ns != before.st_ctime_ns
    assert reader.looks(3) == [False] * 3


def test_what_is_changed_while_it_is_read_is_read_again(reader: Reader) -> None:
    signature = reader.watch.signature()
    reader.path.write_text("changed since")
    reader.watch.note(signature)
    assert reader.looks(3) == [False, True, False]


def test_what_somebody_else_has_read_is_not_read_again(reader: Reader) -> None:
    reader.path.write_text("new")
    reader.look()
    reader.read()
    assert reader.looks(3) == [False] * 3


@given(st.lists(st.integers(0, 3)))
def test_what_stays_at_last_is_what_was_read_at_last(
    tmp_path_factory: pytest.TempPathFactory, texts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("watched") / "routing.toml"
    path.touch()
    reader = Reader(path)
    read = path.read_text()
    for length in [*texts, *texts[-1:]]:
        path.write_text("x" * length)
        os.utime(path, ns=(_LONG_AGO, _LONG_AGO))
        if reader.look():
            read = path.read_text()
    assert read == path.read_text() or reader.look()
    assert not reader.look()


def test_without_a_wish_nobody_looks(file: Path) -> None:
    watch = Watch(file)
    watch.note(watch.signature())
    file.unlink()
    assert [watch.look() for _ in range(3)] == [False] * 3
    assert watch.signature() is None


# ---- a reload ----


def test_without_a_wish_nobody_looks_after_an_upgrade_either(file: Path) -> None:
    watch = Watch(file)
    watch.note((1, 2, 3, 4, 5))  # what the file was when the program before had it read
    assert [watch.look() for _ in range(3)] == [False] * 3


def test_a_reload_notes_what_the_file_was_before_its_child_reads(file: Path) -> None:
    with supervisor_harness(file) as harness:
        harness.edge.watch.on = True
        reload = Reload(harness.edge)
        file.write_text("by an editor who sends SIGHUP himself")
        reload.read()
        assert [harness.edge.watch.look() for _ in range(3)] == [False] * 3
        file.write_text("since then")
        assert [harness.edge.watch.look() for _ in range(2)] == [False, True]
        reload.close()


def test_what_is_changed_while_the_child_starts_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with supervisor_harness(file) as harness:
        harness.edge.watch.on = True
        reload = Reload(harness.edge)
        monkeypatch.setattr(reload._config_probe, "ask", lambda *_, **__: file.write_text("changed since"))
        reload.read()
        assert [harness.edge.watch.look() for _ in range(2)] == [False, True]


def test_a_reload_that_no_child_can_be_had_for_is_tried_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with supervisor_harness(file) as harness:
        harness.edge.watch.on = True
        reload = Reload(harness.edge)
        reload.read()
        file.write_text("changed")
        with monkeypatch.context() as patches:
            patches.setattr("os.posix_spawn", _no_process)
            for _ in range(2):
                with pytest.raises(OSError, match="none"):
                    reload.read()
            assert [harness.edge.watch.look() for _ in range(3)] == [False, True, True]
        reload.read()
        assert not harness.edge.watch.look()
        reload.close()


def _no_process(*_: object, **__: object) -> None:
    raise OSError("none")
