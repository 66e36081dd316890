"""What a scrape consists of: families of samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from attrs import define, field

_MOST_DIGITS = 6  # of an integer part that is written out, as Go does it


class Sample(NamedTuple):
    """A value.

    Args:
        name: the family's name, and what follows it by the kind.
        labels: by their names.
        value: the value.
    """

    name: str
    labels: Mapping[str, str]
    value: float


@define
class Family:
    """Samples that count or measure the same.

    Args:
        name: its name.
        text: what it counts or measures.
        kind: "counter", "gauge" or "histogram".
        names: those of the labels, for `add`.
        samples: its samples.
    """

    name: str
    text: str
    kind: str
    names: Sequence[str] = ()
    samples: list[Sample] = field(factory=list)

    def add(self, labels: Iterable[str], value: float) -> None:
        """Add a sample of a gauge or counter; its labels are in the order of their names."""
        name = f"{self.name}_total" if self.kind == "counter" else self.name
        self.samples.append(Sample(name, dict(zip(self.names, labels, strict=True)), float(value)))


def gauge(name: str, text: str, value: float | None = None, labels: Sequence[str] = ()) -> Family:
    """A family of gauges; with a value, it has this one sample."""
    return _family("gauge", name, text, value, labels)


def counter(name: str, text: str, value: float | None = None, labels: Sequence[str] = ()) -> Family:
    """A family of counters; see `gauge`."""
    return _family("counter", name, text, value, labels)


def _family(kind: str, name: str, text: str, value: float | None, labels: Sequence[str]) -> Family:
    family = Family(name, text, kind, labels)
    if value is not None:
        family.add((), value)
    return family


def number_text(number: float) -> str:
    """A number as Prometheus's own programs write it."""
    number = float(number)
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    if math.isnan(number):
        return "NaN"
    text = repr(number)
    digits = text.find(".")
    if number > 0 and digits > _MOST_DIGITS:
        mantissa = f"{text[0]}.{text[1:digits]}{text[digits + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{digits - 1:02d}"
    return text
