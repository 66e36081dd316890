"""The sums over the files of all rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.multiprocess import MultiProcessCollector

from splicer.admin.sums import sums
from splicer.observe.families import Children, _Kept
from splicer.observe.samples import Sample
from splicer.observe.series import FileCounts

_AMOUNTS = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["a", "b"]), st.sampled_from([0.5, 1.0, 9.0])))


# The law: they are the library's.
@given(amounts=_AMOUNTS)
def test_they_are_what_the_library_adds_up(
    tmp_path_factory: pytest.TempPathFactory, amounts: list[tuple[int, str, float]]
) -> None:
    directory = tmp_path_factory.mktemp("files")
    before = _Kept.counts
    for row in (1, 2, 3):
        counts = _Kept.counts = FileCounts(directory, row)
        calls = Children("counter", "calls", "Calls.", ("pod",))
        times = Children("histogram", "times", "Times.", ("pod",), (1, 2))
        for where, pod, amount in amounts:
            if where == row:
                calls[pod,].inc(amount)
                times[pod,].observe(amount)
        counts.close()
    _Kept.counts = before
    files = sorted(directory.glob("*.db"))
    expected = {
        (metric.name, metric.documentation, metric.type, sample.name, *sorted(sample.labels.items()), sample.value)
        for metric in MultiProcessCollector.merge(map(str, files))  # type: ignore[no-untyped-call]  # it has no types
        for sample in metric.samples
    }
    found = [
        (name, family.text, family.kind, sample.name, *sorted(sample.labels.items()), sample.value)
        for name, family in sums(files).items()
        for sample in family.samples
    ]
    assert set(found) == expected
    assert len(found) == len(expected)


# An upgrade may change the words, and the old ones are in the files: two samples of one name would end the scrape.
def test_another_text_is_no_other_series(tmp_path: Path) -> None:
    for row, text in ((1, "Calls."), (2, "All calls.")):
        counts = FileCounts(tmp_path, row)
        counts.count("counter", "calls", "calls_total", {"pod": "a", "route": "b"}, text).inc(row)
        counts.count("histogram", "times", "times_bucket", {"le": "1.0"}, text).inc(row)
        counts.close()
    found = sums(sorted(tmp_path.glob("*.db")))
    assert found["calls"].samples == [Sample("calls_total", {"pod": "a", "route": "b"}, 3.0)]
    assert found["times"].samples == [Sample("times_bucket", {"le": "1.0"}, 3.0), Sample("times_count", {}, 3.0)]


def test_a_file_that_is_being_created_is_empty(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").touch()
    assert sums(tmp_path.glob("*.db")) == {}
