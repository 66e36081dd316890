"""The sums over the files of all processes, as families."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from splicer.observe.count_file import read_counts
from splicer.observe.samples import Family, Sample, number_text

_Labels = tuple[tuple[str, str], ...]


def sums(files: Iterable[Path]) -> dict[str, Family]:
    """The families of all files, by name; a bucket has the values below it too.

    Args:
        files: one for each kind and row (`observe.series`).

    Raises:
        OSError: one can't be read.
    """
    families: dict[str, Family] = {}
    series: dict[str, tuple[str, str, _Labels]] = {}  # by the key: family, sample and labels
    counts: defaultdict[tuple[str, str, _Labels], float] = defaultdict(float)
    for file in files:
        for key, count in read_counts(file):
            if key not in series:
                name, sample, labels, text = json.loads(key)
                families.setdefault(name, Family(name, text, file.name.partition("_")[0]))
                series[key] = name, sample, tuple(sorted(labels.items()))
            counts[series[key]] += count
    buckets: defaultdict[tuple[str, _Labels], dict[float, float]] = defaultdict(dict)
    for (name, sample, pairs), count in counts.items():
        labels = dict(pairs)
        if (bound := labels.pop("le", None)) is None:
            families[name].samples.append(Sample(sample, labels, count))
        else:
            buckets[name, tuple(labels.items())][float(bound)] = count
    for (name, pairs), own in buckets.items():
        families[name].samples += _cumulated(name, dict(pairs), own)
    return families


def _cumulated(name: str, labels: dict[str, str], own: dict[float, float]) -> Iterable[Sample]:
    below = 0.0
    for bound, count in sorted(own.items()):
        below += count
        yield Sample(f"{name}_bucket", {**labels, "le": number_text(bound)}, below)
    yield Sample(f"{name}_count", labels, below)
