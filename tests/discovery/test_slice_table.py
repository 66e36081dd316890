from __future__ import annotations

import pytest
from attrs import evolve

from splicer.discovery.failures import ApiFailure
from splicer.discovery.slice_table import SliceTable
from splicer.policy.slices import EndpointSlice, SlicePort

_A = EndpointSlice("a", "voice-agent", 4, (), (), {})
_B = EndpointSlice("b", "voice-agent", 4, (), (), {})
_OTHER = EndpointSlice("c", "smart-router", 4, (), (), {})


def _table(*slices: EndpointSlice) -> SliceTable:
    table = SliceTable()
    for each in slices:
        table.put(each)
    return table


def test_the_order_is_that_in_which_slices_were_heard_of() -> None:
    table = _table(_A, _OTHER, _B)
    assert table.of("voice-agent") == (_A, _B)
    newer = evolve(_A, version=6)
    assert table.put(newer) == {"voice-agent"}
    assert table.of("voice-agent") == (_B, newer)


def test_a_slice_that_changes_its_service_changes_both() -> None:
    table = _table(_A)
    assert table.put(evolve(_A, service="smart-router")) == {"voice-agent", "smart-router"}
    assert table.of("voice-agent") == ()


def test_a_slice_that_is_dropped_is_dropped_from_where_it_was() -> None:
    table = _table(_A, _B)
    assert table.drop(evolve(_A, service="smart-router")) == {"voice-agent"}
    assert table.drop(_A) == set()
    assert table.of("voice-agent") == (_B,)
    table.drop(_B)
    assert table.of("voice-agent") == ()


def test_what_is_kept_is_bounded_and_what_is_dropped_makes_room() -> None:
    large = evolve(_A, ports=(SlicePort("", "TCP", 8000),) * 30_000)
    table = _table(large)
    assert table.put(large) == {"voice-agent"}, "it takes its own place"
    table.drop(large)
    table.drop(large)
    table.put(evolve(large, uid="b"))
    with pytest.raises(ApiFailure, match="more than") as failure:
        table.put(evolve(large, uid="c"))
    assert failure.value.reason == "garbage"
