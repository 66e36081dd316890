from __future__ import annotations

import pytest

from splicer.config.conditions import HEADER_CONDITIONS, QUERY_CONDITIONS
from splicer.config.environment import expand_all
from tests.config.test_routes import P, faults, route

HEADERS = {
    "X-Canary": "1",
    "origin": {"regex": "^https://[a-z]+\\.example$"},
    "User-Agent": {"prefix": "Twilio "},
    "X-Debug": False,
    "X-Empty": "",
    "authorization": True,
}


def test_every_form_of_a_condition() -> None:
    tests = HEADER_CONDITIONS.parse(HEADERS)
    assert [(test.name, test.kind, test.text) for test in tests] == [
        ("x-canary", "is", "1"),
        ("origin", "regex", "^https://[a-z]+\\.example$"),
        ("user-agent", "prefix", "Twilio "),
        ("x-debug", "absent", ""),
        ("x-empty", "is", ""),
        ("authorization", "present", ""),
    ]
    assert HEADER_CONDITIONS.format(tests) == {name.lower(): value for name, value in HEADERS.items()}
    assert HEADER_CONDITIONS.parse(HEADER_CONDITIONS.format(tests)) == tests


def test_names_of_parameters_have_a_case() -> None:
    tests = QUERY_CONDITIONS.parse({"A": " x\n", "a": True, "é ": {"prefix": "\t"}})
    assert QUERY_CONDITIONS.format(tests) == {"A": " x\n", "a": True, "é ": {"prefix": "\t"}}


def test_a_line_for_the_log() -> None:
    brief = HEADER_CONDITIONS.brief
    assert brief is not None
    told = "x-canary is 1, user-agent prefix Twilio , x-debug absent"
    assert (
        brief(HEADER_CONDITIONS.parse({name: HEADERS[name] for name in ("X-Canary", "User-Agent", "X-Debug")})) == told
    )


def test_a_value_may_come_from_the_environment() -> None:
    (test,) = HEADER_CONDITIONS.parse(expand_all({"x": "${A}"}, {"A": "true"}))
    assert (test.kind, test.text) == ("is", "true")


WAYS = 'a string, true (present), false (absent), { prefix = "..." } or { regex = "..." }'


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("headers = {}", ["headers: must not be empty: leave the key out for any request"]),
        ('headers = "X-A"', ['headers: must be a table, not "X-A"']),
        ('headers = { "X A" = "1" }', ['headers."X A": is no header name (RFC 9110 §5.1)']),
        ('headers = { X-A = "1", x-a = "2" }',
         ['headers: "x-a" stands there twice: header names are compared without case']),
        ('headers = { Host = "a" }', ["headers.Host: is no condition here: write hosts = [...]"]),
        ('headers = { X-Forwarded-Proto = "https" }',
         ['headers.X-Forwarded-Proto: is no condition here: anybody can send it; write scheme = "https", which '
          "believes trusted_proxies alone"]),
        ("headers = { X = 1 }", [f"headers.X: must be {WAYS}, not 1"]),
        ("headers = { X = {} }", [f"headers.X: must be {WAYS}, not a table with no key"]),
        ('headers = { X = { exact = "1" } }', [f'headers.X: must be {WAYS}, not a table with "exact"']),
        ('headers = { X = { prefix = "1", regex = "2" } }',
         [f'headers.X: must be {WAYS}, not a table with "prefix", "regex"']),
        ("headers = { X = { prefix = 1 } }", ["headers.X: must be a string, not 1"]),
        ("headers = { X = { prefix = '' } }", ["headers.X: the prefix is empty and fits any value; write true"]),
        ("headers = { X = { regex = '(' }, Y = { regex = ')' } }",
         ["headers.X: missing ): (", "headers.Y: unexpected ): )"]),
        ('headers = { X = " a" }', ['headers.X: " a" has an outer space, which no header value has; write "a"']),
        ('headers = { X = "a\\nb" }', ['headers.X: "a\\nb" has a control character, which no header has']),
        ('headers = { X = "${NO}" }',
         ['headers.X: the environment variable NO is not set; set it or write a default: ${NO:-...}']),
        ('query = { "" = "1" }', ["query.\"\": is no name of a parameter"]),
        ("query = { a = 1 }", [f"query.a: must be {WAYS}, not 1"]),
        ('scheme = "wss"', ['scheme: must be one of "http", "https", not "wss"']),
    ],
)  # fmt: skip
def test_faults(keys: str, expected: list[str]) -> None:
    assert faults(P + keys) == expected


def test_a_route_has_them() -> None:
    made = route(P + 'headers = { X-A = "1" }\nquery = { b = true }\nscheme = "https"')
    assert [(test.name, test.kind) for test in (*made.headers, *made.query)] == [("x-a", "is"), ("b", "present")]
    assert made.scheme == "https"
