from __future__ import annotations

from attrs import evolve

from splicer.discovery.slice_table import SliceTable
from splicer.policy.slices import EndpointSlice

_A = EndpointSlice("a", "voice-agent", 4, (), (), {})
_B = EndpointSlice("b", "voice-agent", 4, (), (), {})
_OTHER = EndpointSlice("c", "smart-router", 4, (), (), {})


def test_the_order_is_that_in_which_slices_were_heard_of() -> None:
    table = SliceTable()
    table.replace([_A, _OTHER, _B])
    assert table.of("voice-agent") == (_A, _B)
    newer = evolve(_A, version=6)
    assert table.put(newer) == {"voice-agent"}
    assert table.of("voice-agent") == (_B, newer)


def test_a_slice_that_changes_its_service_changes_both() -> None:
    table = SliceTable()
    table.replace([_A])
    assert table.put(evolve(_A, service="smart-router")) == {"voice-agent", "smart-router"}
    assert table.of("voice-agent") == ()


def test_a_slice_that_is_dropped_is_dropped_from_where_it_was() -> None:
    table = SliceTable()
    table.replace([_A, _B])
    assert table.drop(evolve(_A, service="smart-router")) == {"voice-agent"}
    assert table.drop(_A) == set()
    assert table.of("voice-agent") == (_B,)
    table.replace([])
    assert table.of("voice-agent") == ()
