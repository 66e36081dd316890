"""Our own name in Via: a request that goes round in a circle is told by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.http1.request import parse_request
from splicer.http1.via import MOST_PASSES, is_loop, via
from splicer.model import RequestHead


def head_with(*values: str, version: str = "1.1") -> RequestHead:
    fields = "".join(f"Via: {value}\r\n" for value in values)
    head, _ = parse_request(f"GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n".encode("latin-1"), limit=65536)
    return head


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_it_says_what_came_in(version: str) -> None:
    assert via(head_with(version=version)) == (b"Via", b"%s splicer" % version.encode())


@pytest.mark.parametrize(
    "values",
    [
        ["1.1 splicer"] * 5,
        ["1.1 splicer, 1.0 splicer, HTTP/1.1 splicer", "1.1 Splicer,1.1\tsplicer (an edge)"],
        ["1.1 fred, " * 50 + "1.1 splicer, " * 5 + "1.1 splicer.example"],
    ],
)
def test_a_request_comes_through_five_times(values: list[str]) -> None:
    assert is_loop(head_with(*values))


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["1.1 splicer"] * 4,
        ["1.1 fred"] * 50,
        ["1.1 splicer.example, 1.1 not-splicer, 1.1 splicer:80, 1.1 nginx (splicer)"] * 5,
        ["splicer"] * 9,
    ],
)
def test_other_names_and_fewer_passes_are_no_loop(values: list[str]) -> None:
    assert not is_loop(head_with(*values))


@given(members=st.lists(st.sampled_from(["1.1 splicer", "1.1 fred", "2 splicer (x)", "", " ", ",", "splicer"])))
def test_it_counts_members_wherever_they_stand(members: list[str]) -> None:
    loop = sum(member in ("1.1 splicer", "2 splicer (x)") for member in members) >= MOST_PASSES
    assert is_loop(head_with(*members)) is is_loop(head_with(",".join(members))) is loop
