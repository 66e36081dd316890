"""Counts in mapped files: what another process reads, and what outlives the one that counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, values
from prometheus_client.mmap_dict import MmapedDict

from splicer.observe import mmap_values
from splicer.observe.mmap_values import MmapHistogram, recorded, values_in


@pytest.fixture(autouse=True)
def _closes_its_own() -> Iterator[None]:
    before = list(values._multi_process_cleanups)
    yield
    for close in values._multi_process_cleanups[len(before) :]:
        close()
    values._multi_process_cleanups[:] = before


def _value(kind: type[Any], name: str, **labels: str) -> Any:
    return kind("counter", name, f"{name}_total", tuple(labels), tuple(labels.values()), "What it counts.")


def _read(directory: Path, row: int) -> list[float]:
    file = str(directory / f"counter_{row}.db")
    return [value for _, value, *_ in MmapedDict.read_all_values_from_file(file)]  # type: ignore[no-untyped-call]  # it has no types


def test_others_read_what_was_counted(tmp_path: Path) -> None:
    value = _value(values_in(tmp_path, 3), "calls")
    value.inc()
    value.inc(2.5)
    assert value.get() == 3.5
    assert _read(tmp_path, 3) == [3.5]


# No total may ever fall because a worker was killed.
def test_the_next_owner_of_a_row_goes_on(tmp_path: Path) -> None:
    _value(values_in(tmp_path, 3), "calls", pod="a").inc(7)
    value = _value(values_in(tmp_path, 3), "calls", pod="a")
    value.inc()
    assert _read(tmp_path, 3) == [8.0]
    assert _value(values_in(tmp_path, 4), "calls", pod="a").get() == 0.0, "another row is another file"


def test_a_value_stays_valid_while_its_file_grows(tmp_path: Path) -> None:
    kind = values_in(tmp_path, 3)
    first = _value(kind, "calls", pod="first")
    for number in range(20_000):
        _value(kind, "calls", pod=f"pod-{number}")
    first.inc()
    assert _read(tmp_path, 3)[0] == 1.0


# Names of pods come out of URLs: a file may not grow without end, and what it has goes on.
def test_a_full_file_takes_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = values_in(tmp_path, 3)
    _value(kind, "calls", pod="a").inc()
    monkeypatch.setattr(mmap_values, "_MAX_BYTES", 0)
    with pytest.raises(OSError, match="is full"):
        _value(kind, "calls", pod="b")
    _value(kind, "calls", pod="a").inc()
    assert _read(tmp_path, 3) == [2.0]


def test_the_series_of_one_counter_are_found_by_their_labels(tmp_path: Path) -> None:
    kind = values_in(tmp_path, 3)
    for pod in ("a", "b"):
        _value(kind, "calls", pod=pod)
    _value(kind, "errors", pod="c")
    assert list(recorded(tmp_path, 3, "calls")) == [{"pod": "a"}, {"pod": "b"}]


def test_a_file_that_is_missing_or_empty_has_none(tmp_path: Path) -> None:
    assert list(recorded(tmp_path, 3, "calls")) == []
    (tmp_path / "counter_3.db").touch()
    assert list(recorded(tmp_path, 3, "calls")) == []


# The law: it counts as the library does, `le` included.
@given(amounts=st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 7.0]), max_size=20))
def test_a_histogram_counts_as_the_librarys_does(amounts: list[float]) -> None:
    registry = CollectorRegistry()
    theirs, ours = (Histogram(name, "Times.", buckets=(1.0, 2.0), registry=registry) for name in ("theirs", "ours"))
    quick = MmapHistogram(ours)
    for amount in amounts:
        theirs.observe(amount)
        quick.observe(amount)

    def samples(histogram: Histogram) -> list[tuple[str, float]]:
        [family] = histogram.collect()
        return [
            (each.labels.get("le", each.name.rpartition("_")[2]), each.value)
            for each in family.samples
            if not each.name.endswith("_created")
        ]

    assert samples(theirs) == samples(ours)
