from __future__ import annotations

import pytest

from splicer.policy.json_fields import boolean, items, mapping, text


@pytest.mark.parametrize("value", [None, 7, 1.5, "x", True, [], {}])
def test_a_value_of_another_type_is_none(value: object) -> None:
    assert mapping(value) == {}
    assert items(value) in ((), [])
    assert text(value) == ("x" if value == "x" else None)
    assert boolean(value, missing=False) is (value is True)
    assert boolean(value, missing=True) is True


def test_values() -> None:
    assert mapping({"a": 1}) == {"a": 1}
    assert items([1]) == [1]
    assert text("") is None
    assert text("\u00e9\U0001f642") == "\u00e9\U0001f642"
    assert text("a\ud800") is None, "it can't be encoded"
    assert (text("abc", 3), text("abcd", 3)) == ("abc", None)
    assert boolean(False, missing=True) is False
