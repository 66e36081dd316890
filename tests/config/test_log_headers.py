"""`log.headers`."""

from __future__ import annotations

import pytest

from splicer.config.load import load
from splicer.config.log_headers import field_of
from splicer.errors import ConfigError

ROUTE = '[[routes]]\nname = "r"\nprefix = "/"\nrespond = "status"\n'


def faults(log: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(f"[log]\n{log}\n{ROUTE}", environ={})
    return [fault.removeprefix("routing.toml: log.") for fault in refused.value.faults]


def test_names_are_in_lower_case() -> None:
    assert load(f'[log]\nheaders = ["User-Agent", "x-call-id"]\n{ROUTE}', environ={}).log.headers == (
        "user-agent",
        "x-call-id",
    )
    assert load(ROUTE, environ={}).log.headers == ()


@pytest.mark.parametrize(
    ("header", "field"), [("user-agent", "header_user_agent"), ("x.y!z9", "header_x_y_z9"), ("x", "header_x")]
)
def test_each_has_a_field(header: str, field: str) -> None:
    assert field_of(header) == field


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ('headers = "user-agent"', ['headers: must be a list; write ["user-agent"]']),
        ('headers = ["a b", "", 1]',
         ['headers: "a b" is no header name (RFC 9110 §5.1)', 'headers: "" is no header name (RFC 9110 §5.1)',
          "headers: must be a string, not 1"]),
        *(
            (f'headers = ["{name}"]', [f'headers: "{name}" holds secrets, and is never logged'])
            for name in ("Authorization", "proxy-authorization", "Cookie", "set-cookie")
        ),
        (f"headers = ['{'x' * 64}', '{'y' * 65}']",
         [f'headers: "{"y" * 59}…" has 65 characters; at most 64 are possible here']),
        ('headers = ["x-a", "X-A"]', ['headers: "x-a" stands there twice']),
        ('headers = ["x-a", "x_a"]', ['headers: "x-a" and "x_a" are the same field of the log, header_x_a']),
        (f"headers = {[f'x{number}' for number in range(9)]}", ["headers: has 9 headers; at most 8 are logged"]),
        ('format = "combined"\nheaders = ["x"]',
         ['headers: can\'t stand beside format = "combined", which has Referer and User-Agent, and no others']),
        ('format = "combine"\nheaders = ["x"]',
         ['format: must be one of "auto", "json", "console", "combined", not "combine"; did you mean "combined"?']),
    ],
)  # fmt: skip
def test_faults(log: str, expected: list[str]) -> None:
    assert faults(log) == expected
