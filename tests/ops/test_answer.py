"""What comes from the admin address may be anything."""

from __future__ import annotations

from typing import Any

import pytest

from splicer.ops.answer import part, rows
from splicer.ops.failure import AdminFailed


def test_a_list_of_objects() -> None:
    assert rows({"workers": [{"slot": 1}, {}]}, "workers") == [{"slot": 1}, {}]
    assert rows({"workers": []}, "workers") == []


@pytest.mark.parametrize("answer", [{}, {"workers": None}, {"workers": "a"}, {"workers": {}}, {"workers": [{}, 1]}])
def test_anything_else_is_another_service(answer: dict[str, Any]) -> None:
    with pytest.raises(AdminFailed, match='no list of "workers": is this the admin address of a splicer'):
        rows(answer, "workers")


@pytest.mark.parametrize(("value", "found"), [({"a": 1}, {"a": 1}), (None, {}), ([], {}), ("a", {})])
def test_an_object_within_one_may_be_missing(value: Any, found: dict[str, Any]) -> None:
    assert part({"drain": value}, "drain") == found
    assert part({}, "drain") == {}
