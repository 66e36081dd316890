from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.routing.query import first_values


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("a=1", {b"a": b"1"}),
        ("a", {b"a": b""}),
        ("a=", {b"a": b""}),
        ("a=1&a=2", {b"a": b"1"}),
        ("b=1&&a=x=y", {b"a": b"x=y", b"b": b"1"}),
        ("%61=%e4+%2B", {b"a": b"\xe4 +"}),
        ("a=%zz%", {b"a": b"%zz%"}),
        ("=1&A=2&c=3", {}),
        ("a=1;b=2", {b"a": b"1;b=2"}),
    ],
)
def test_first_values(query: str, values: dict[bytes, bytes]) -> None:
    assert first_values(query, frozenset({b"a", b"b"})) == values


@given(st.text("ab=&+%61", max_size=20))
def test_the_first_of_each_name_as_the_standard_library_reads_it(query: str) -> None:
    expected: dict[bytes, bytes] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, encoding="latin-1"):
        expected.setdefault(name.encode("latin-1"), value.encode("latin-1"))
    names = {b"a", b"b", b"", b"aa"}
    assert first_values(query, names) == {name: value for name, value in expected.items() if name in names}
