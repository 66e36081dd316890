"""A route's limit in one of several workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.model import RequestHead
from splicer.policy.rate_limiter import RateLimiter
from splicer.rates import Rate, RateLimit

A, B = "192.0.2.1", "192.0.2.2"


def head(*values: str) -> RequestHead:
    fields = tuple((b"X-Key", value.encode()) for value in values)
    return RequestHead("GET", "/", "/", None, "a", "1.1", ((b"Host", b"a"), *fields))


def limiter(by: str, burst: int = 1, workers: int = 1) -> RateLimiter:
    return RateLimiter(RateLimit(Rate(1, "h"), burst, by), lambda: workers)


@pytest.mark.parametrize(
    ("by", "served"),
    [
        ("client", [True, False, True, False]),
        ("route", [True, False, False, False]),
        ("header:x-key", [True, True, False, True]),
    ],
)
def test_who_has_a_bucket(by: str, served: list[bool]) -> None:
    limit = limiter(by)
    asked = [(A, head("k")), (A, head("l")), (B, head("k")), (B, head())]
    assert [limit.wait(client, request, 0.0) == 0 for client, request in asked] == served


def test_to_leave_the_header_out_is_no_way_around_it() -> None:
    limit = limiter("header:x-key")
    assert not limit.wait(A, head(), 0.0)
    assert limit.wait(B, head(), 0.0)
    assert limit.wait(B, head(""), 0.0)


def test_long_values_are_told_apart() -> None:
    limit = limiter("header:x-key")
    for value in ("x" * 30_000, "x" * 29_999 + "y", "x" * 64, "x" * 65):
        assert not limit.wait(A, head(value), 0.0)
        assert limit.wait(A, head(value), 0.0)


def test_several_lines_are_one_value() -> None:
    limit = limiter("header:x-key")
    assert not limit.wait(A, head("a", "b"), 0.0)
    assert limit.wait(A, head("a", "b"), 0.0)
    assert not limit.wait(A, head("a"), 0.0)


@given(burst=st.integers(1, 60), workers=st.integers(1, 16))
def test_all_workers_together_serve_the_burst(burst: int, workers: int) -> None:
    served = 0
    for limit in [limiter("route", burst, workers) for _ in range(workers)]:
        while not limit.wait(A, head(), 0.0):
            served += 1
    assert served <= max(burst, workers)
    assert served > burst - workers


def test_all_workers_together_serve_the_rate() -> None:
    limits = [limiter("route", 1, 4) for _ in range(4)]
    served = sum(not limit.wait(A, head(), hour / 10 * 3600) for limit in limits for hour in range(400))
    assert served == 40
