from __future__ import annotations

import pytest

from splicer.config.advice import warnings
from splicer.config.load import load

UPSTREAM = '[upstreams.api]\naddress = "api:80"\n'


def told(text: str) -> tuple[str, ...]:
    return warnings(load(text, environ={}))


def route(name: str, prefix: str, keys: str = 'upstream = "api"') -> str:
    return f'[[routes]]\nname = "{name}"\nprefix = "{prefix}"\n{keys}\n'


def test_nothing_odd() -> None:
    assert told(UPSTREAM + route("a", "/")) == ()


def test_a_route_that_can_never_match() -> None:
    assert told(UPSTREAM + route("all", "/") + route("api", "/api/")) == (
        'routes 2 "api": can never match: routes 1 "all" takes all that it would',
    )


def test_a_deadline_that_can_never_run_out_is_told_where_it_is_written() -> None:
    text = '[deadlines]\nattempts = "2s"\nhandshake = "never"\nresolve = "2s"\n' + UPSTREAM + route("a", "/")
    assert told(text) == ("deadlines.connect: 3s can never run out: deadlines.attempts ends all attempts after 2s",)
    own = 'upstream = "api"\ndeadlines = { handshake = "20s", idle = "1m" }'
    assert told(UPSTREAM + route("a", "/", own)) == (
        'routes 1 "a": deadlines.handshake: 20s can never run out: deadlines.attempts ends all attempts after 15s',
    )


def test_an_upstream_that_no_route_uses() -> None:
    other = '[upstreams.other]\naddress = "b:80"\n'
    assert told(UPSTREAM + other + route("a", "/")) == ("upstreams.other: no route uses it",)
    assert told(UPSTREAM + other + route("a", "/", 'upstream = "api"\nfallback = "other"')) == ()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            'metrics = "127.0.0.1:0"',
            ("server.metrics: 127.0.0.1:0: port 0 takes any free one, which no scraper knows",),
        ),
        ('metrics = "0.0.0.0:9902"', ()),
        ('admin = "127.0.0.1:0"', ()),
    ],
)
def test_metrics_that_no_scraper_finds(keys: str, expected: tuple[str, ...]) -> None:
    assert told(f"[server]\n{keys}\n" + UPSTREAM + route("a", "/")) == expected
