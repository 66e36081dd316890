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


def test_a_pattern_for_what_no_path_has_once_it_is_in_normal_form() -> None:
    def regex(text: str) -> tuple[str, ...]:
        return told(f"{UPSTREAM}[[routes]]\nname = 'a'\nregex = '{text}'\nupstream = 'api'\n")

    odd = 'routes 1 "a": regex: "{}" is in no path that it looks at; write "{}"'
    assert regex("^//a%2f%61/+%2F/?%C3") == (odd.format("//", "/"), odd.format("%2f", "%2F"), odd.format("%61", "a"))
    assert regex("^/a//?b//*%2[fF]%2F") == ()
    assert regex("(?i)^/a%2f") == ()


def test_a_rule_for_half_of_what_a_pod_takes_for_the_same() -> None:
    closed = 'clients = ["10.0.0.0/8"]\nupstream = "api"'
    assert told(UPSTREAM + route("a", "/%40a/%20", closed)) == (
        'routes 1 "a": prefix: does not match "/@a/%20", the same to most pods; write that',
    )
    assert told(UPSTREAM + route("a", "/@a/%20%25", closed)) == told(UPSTREAM + route("a", "/%40a/")) == ()


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
