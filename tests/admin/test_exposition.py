"""The text of a scrape."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from splicer.admin.exposition import exposition
from splicer.observe.samples import counter, gauge


class _Given(Collector):
    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


# The law: the text is the library's.
@given(rows=st.lists(st.tuples(_TEXTS, _TEXTS, st.floats()), max_size=4), text=_TEXTS, plain=st.integers(0, 1 << 60))
def test_it_is_what_the_library_writes(rows: list[tuple[str, str, float]], text: str, plain: int) -> None:
    theirs = GaugeMetricFamily("splicer_calls", text, labels=("route", "pod"))
    ours = gauge("splicer_calls", text, labels=("route", "pod"))
    for route, pod, value in rows:
        theirs.add_metric((route, pod), value)
        ours.add((route, pod), value)
    registry = CollectorRegistry()
    registry.register(_Given(theirs, CounterMetricFamily("splicer_reloads", text, value=plain)))
    assert exposition([ours, counter("splicer_reloads", text, plain)]) == generate_latest(registry)
