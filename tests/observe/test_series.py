"""Counts in files: what another process reads, and what outlives the one that counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.mmap_dict import MmapedDict

from splicer.observe import count_file
from splicer.observe.count_file import read_counts
from splicer.observe.families import Children
from splicer.observe.series import Count, FileCounts

_FILE = "counter_3.db"


@pytest.fixture
def counts(tmp_path: Path) -> Iterator[FileCounts]:
    made = FileCounts(tmp_path, 3)
    yield made
    made.close()


def _count(counts: FileCounts, name: str, **labels: str) -> Count:
    return counts.count("counter", name, f"{name}_total", labels, "What it counts.")


def _read(path: Path) -> list[float]:
    return [count for _, count in read_counts(path)]


def test_others_read_what_was_counted(counts: FileCounts, tmp_path: Path) -> None:
    count = _count(counts, "calls")
    count.inc()
    count.inc(2.5)
    assert count.get() == 3.5
    assert _read(tmp_path / _FILE) == [3.5]


# No total may ever fall because a worker was killed.
def test_the_next_owner_of_a_row_goes_on(counts: FileCounts, tmp_path: Path) -> None:
    _count(counts, "calls", pod="a").inc(7)
    successor, other = FileCounts(tmp_path, 3), FileCounts(tmp_path, 4)
    count = _count(successor, "calls", pod="a")
    count.inc()
    assert _read(tmp_path / _FILE) == [8.0]
    assert _count(other, "calls", pod="a").get() == 0.0, "another row is another file"
    successor.close()
    other.close()


def test_a_count_stays_valid_while_its_file_grows_and_when_it_is_closed(counts: FileCounts, tmp_path: Path) -> None:
    first = _count(counts, "calls", pod="first")
    for number in range(20_000):
        _count(counts, "calls", pod=f"pod-{number}")
    first.inc()
    assert _read(tmp_path / _FILE)[0] == 1.0
    counts.close()
    first.inc()
    assert _read(tmp_path / _FILE)[0] == 2.0


# Names of pods come out of URLs: a file may not grow without end, and what it has goes on.
def test_a_full_file_takes_nothing_new(counts: FileCounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _count(counts, "calls", pod="a").inc()
    monkeypatch.setattr(count_file, "_MAX_BYTES", 0)
    with pytest.raises(OSError, match="is full"):
        _count(counts, "calls", pod="b")
    _count(counts, "calls", pod="a").inc()
    assert _read(tmp_path / _FILE) == [2.0]


def test_the_series_of_one_counter_are_found_by_their_labels(counts: FileCounts) -> None:
    for pod in ("a", "b"):
        _count(counts, "calls", pod=pod)
    _count(counts, "errors", pod="c")
    assert list(counts.recorded("calls")) == [{"pod": "a"}, {"pod": "b"}]


def test_a_file_that_is_missing_or_empty_has_none(counts: FileCounts, tmp_path: Path) -> None:
    assert list(counts.recorded("calls")) == []
    (tmp_path / _FILE).touch()
    assert list(counts.recorded("calls")) == []


_KEYS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), unique=True, max_size=20)


# The law: a file is one of prometheus_client's, both ways. An older splicer used it, and an upgrade goes on with files.
@given(keys=_KEYS)
def test_the_library_reads_and_continues_the_file_and_its_own_is_continued(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str]
) -> None:
    ours, theirs = (tmp_path_factory.mktemp("files") / name for name in ("ours.db", "theirs.db"))
    library = MmapedDict(str(theirs))  # type: ignore[no-untyped-call]  # it has no types
    file = count_file.CountFile(ours)
    for number, key in enumerate(keys):
        library.write_value(key, number, 0.0)  # type: ignore[no-untyped-call]  # as above
        Count(*file.place(key)).inc(number)
    library.close()  # type: ignore[no-untyped-call]  # as above
    file.close()
    expected = [(key, float(number)) for number, key in enumerate(keys)]
    assert list(read_counts(ours)) == list(read_counts(theirs)) == expected
    assert [found[:2] for found in MmapedDict.read_all_values_from_file(str(ours))] == expected  # type: ignore[no-untyped-call]  # as above
    continued = count_file.CountFile(theirs)
    assert [Count(*continued.place(key)).get() for key in keys] == [count for _, count in expected]
    continued.close()


@pytest.mark.parametrize("length", [-1, 0x7FFFFFF0])
def test_an_entry_that_ends_beyond_the_file_is_told(tmp_path: Path, length: int) -> None:
    path = tmp_path / _FILE
    path.write_bytes((64).to_bytes(8, "little") + length.to_bytes(4, "little", signed=True) + bytes(52))
    with pytest.raises(ValueError, match="beyond"):
        list(read_counts(path))


# The law: it counts as the library does, `le` included.
@given(amounts=st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 7.0]), max_size=20))
def test_a_histogram_counts_as_the_librarys_does(amounts: list[float]) -> None:
    theirs = Histogram("times", "Times.", buckets=(1.0, 2.0), registry=CollectorRegistry())
    ours = Children("histogram", "times", "Times.", (), (1, 2))
    series = ours[()]
    for amount in amounts:
        theirs.observe(amount)
        series.observe(amount)
    [family] = theirs.collect()
    expected = {(each.name, each.labels.get("le")): each.value for each in family.samples}
    del expected["times_created", None]
    assert {(each.name, each.labels.get("le")): each.value for each in ours.collect().samples} == expected
