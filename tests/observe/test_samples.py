"""Families of samples, and how their numbers are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from splicer.observe.samples import Sample, counter, gauge, number_text


@given(number=st.floats() | st.integers(-(10**20), 10**20) | st.booleans())
def test_numbers_are_written_as_the_library_does(number: float) -> None:
    assert number_text(number) == floatToGoString(number)  # type: ignore[no-untyped-call]  # it has no types


def test_a_counters_samples_have_another_name_than_their_family() -> None:
    assert counter("calls", "Calls.", 3).samples == [Sample("calls_total", {}, 3.0)]
    assert gauge("calls", "Calls.", value=True).samples == [Sample("calls", {}, 1.0)]


def test_labels_have_the_order_of_their_names() -> None:
    family = gauge("calls", "Calls.", labels=("route", "pod"))
    family.add(("voice", "pod-1"), 2)
    assert family.samples == [Sample("calls", {"route": "voice", "pod": "pod-1"}, 2.0)]
    with pytest.raises(ValueError, match="zip"):
        family.add(("voice",), 2)
