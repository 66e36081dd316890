"""`rate_limit` of a route."""

from __future__ import annotations

import pytest

from splicer.config.rate_limit import RATE_LIMIT, rate_limit
from splicer.rates import Rate, RateLimit
from tests.config.test_routes import P, R, faults, route

LIMIT = RateLimit(Rate(50, "s"), 50, "client")


@pytest.mark.parametrize(
    ("table", "limit"),
    [
        ('{ rate = "50/s" }', LIMIT),
        ('{ rate = "10/m", burst = 1 }', RateLimit(Rate(10, "m"), 1)),
        ('{ rate = "1000000/h", burst = 1000000, by = "route" }', RateLimit(Rate(10**6, "h"), 10**6, "route")),
        ('{ rate = "1/s", by = "header:X-Api-Key" }', RateLimit(Rate(1, "s"), 1, "header:x-api-key")),
    ],
)
@pytest.mark.parametrize("answer", [P, R])
def test_a_limit(table: str, limit: RateLimit, answer: str) -> None:
    assert route(f"{answer}rate_limit = {table}").rate_limit == limit


def test_the_time_between_two_requests() -> None:
    assert [Rate(4, unit).interval for unit in "smh"] == [0.25, 15, 900]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("1", ["rate_limit: must be a table, not 1"]),
        ("{}", ["rate_limit.rate: is missing"]),
        ("{ rate = 50 }", ['rate_limit.rate: a rate needs a unit of time; write "50/s"']),
        ('{ rate = "50" }', ['rate_limit.rate: a rate needs a unit of time; write "50/s"']),
        *(
            (f'{{ rate = "{word}" }}', [f'rate_limit.rate: "{word}" is no rate such as "50/s", "10/m" or "100/h"'])
            for word in ("", "50/d", "50/ s", "-1/s", "1.5/s", "50r/s", "50/s ")
        ),
        *(
            (f'{{ rate = "{count}/s" }}',
             [f"rate_limit.rate: must be between 1 and 1000000 in a unit of time, not {count}"])
            for count in (0, 1000001)
        ),
        ('{ rate = "1/s", burst = 0 }', ["rate_limit.burst: must be between 1 and 1000000, not 0"]),
        ('{ rate = "1/s", by = "clients" }',
         ['rate_limit.by: must be "client", "route" or "header:NAME", not "clients"; did you mean "client"?']),
        ('{ rate = "1/s", by = "header:" }',
         ['rate_limit.by: "" is no header name; write for example "header:x-api-key"']),
        ('{ rate = "1/s", by = "header:a b" }',
         ['rate_limit.by: "a b" is no header name; write for example "header:x-api-key"']),
        ('{ rate = "1/s", brust = 1 }', ['rate_limit.brust: unknown key; did you mean "burst"?']),
        ('{ burst = 0, by = 1 }',
         ["rate_limit.rate: is missing", "rate_limit.burst: must be between 1 and 1000000, not 0",
          "rate_limit.by: must be a string, not 1"]),
    ],
)  # fmt: skip
def test_faults(table: str, expected: list[str]) -> None:
    assert sorted(faults(f"{P}rate_limit = {table}")) == sorted(expected)


def test_it_is_written_with_its_burst() -> None:
    assert RATE_LIMIT.write(rate_limit({"rate": "50/s"})) == {"rate": "50/s", "burst": 50, "by": "client"}
    assert RATE_LIMIT.brief is not None
    assert RATE_LIMIT.brief(LIMIT) == "50/s, burst 50, by client"
