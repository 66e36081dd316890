"""Classes of which each call has objects."""

from __future__ import annotations

import pytest
from attrs import evolve

from splicer.quick_frozen import quick_frozen


@quick_frozen
class Point:
    x: int
    y: int = 0


def test_it_compares_and_hashes_by_its_fields_and_has_no_others() -> None:
    point = Point(1)
    assert point == Point(1, 0) == evolve(Point(1, 2), y=0)
    assert {point: "here"}[Point(1)] == "here"
    assert point != Point(2)
    with pytest.raises(AttributeError):
        point.z = 3  # type: ignore[attr-defined]  # attrs' slots


# Where the type checker let this pass, it would say that the comment is of no use.
def test_the_type_checker_keeps_it_frozen() -> None:
    point = Point(1)
    point.x = 2  # type: ignore[misc]
    assert point == Point(2)
