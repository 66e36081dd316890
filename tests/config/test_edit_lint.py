from __future__ import annotations

import pytest

from splicer.config.edit_lint import edit_warnings
from splicer.config.lint import warnings
from splicer.config.load import load

SERVER = '[server]\ntrusted_proxies = ["10.0.0.0/8"]\n'
ROUTE = '[[routes]]\nname = "r"\nprefix = "/"\nhosts = ["a.test"]\n'


def told(keys: str, server: str = SERVER) -> list[str]:
    return list(edit_warnings(load(f"{server}{ROUTE}{keys}", environ={})))


BACK = 'routes 1 "r": redirect.to: leads '


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('redirect = { to = "https://{host}{target}" }',
         [BACK + 'a request that came by https back to its own URL; write scheme = "http"']),
        ('scheme = "https"\nredirect = { to = "https://{host}{target}" }',
         [BACK + 'a request that came by https back to its own URL; write scheme = "http"']),
        ('redirect = { to = "http://{host}{target}" }',
         [BACK + 'a request that came by http back to its own URL; write scheme = "https"']),
        ('redirect = { to = "{scheme}://{host}{target}" }', [BACK + "every request back to its own URL"]),
        ('scheme = "http"\nredirect = { to = "https://{host}{target}" }', []),
        ('redirect = { to = "https://www.{host}{target}" }', []),
        ('redirect = { to = "https://{host}/new{target}" }', []),
        ('redirect = { to = "/x" }', []),
    ],
)  # fmt: skip
def test_a_redirect_that_leads_back(keys: str, expected: list[str]) -> None:
    assert told(keys) == expected


HSTS = 'respond = "status"\nresponse_headers = { X-A = "b", Strict-transport-security = "max-age=1" }'


def test_a_header_that_is_never_sent() -> None:
    warning = (
        'routes 1 "r": response_headers.Strict-transport-security: is never sent: without server.trusted_proxies every '
        "request counts as plain HTTP"
    )
    assert told(HSTS, "") == [warning]
    assert warning in warnings(load(ROUTE + HSTS, environ={}))
    assert told(HSTS) == []
    assert told(HSTS.replace('"max-age=1"', "false"), "") == []
