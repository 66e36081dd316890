from __future__ import annotations

import pytest

from tests.config.test_routes import faults, route

N = 'name = "r"\nprefix = "/"\n'
H = N + 'hosts = ["a.example"]\n'
X = "name = 'r'\nregex = '^/(?<rest>.*)$'\n"
BEGIN = 'must begin with "https://", "http://", "{scheme}://" or one "/"'
HOST = "after its scheme a host must stand: literal text or {host}; no other name may choose it"


def test_a_redirect() -> None:
    redirect = route(H + 'redirect = { to = "https://{host}{target}", status = 308 }').redirect
    assert redirect is not None
    assert (redirect.to.text, redirect.status) == ("https://{host}{target}", 308)
    least = route(X + "redirect = { to = '/new/{rest}' }").redirect
    assert least is not None
    assert least.status == 302


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (N + "redirect = '/x'", ['redirect: must be a table, not "/x"']),
        (N + "redirect = {}", ["redirect.to: is missing"]),
        (N + "redirect = { to = '/x', status = 200 }",
         ["redirect.status: must be one of 301, 302, 303, 307, 308, not 200"]),
        (N + "redirect = { to = '/x', code = 301 }", ["redirect.code: unknown key"]),
        (N + "redirect = { to = '/x' }\nupstream = 'any'",
         ["upstream: can't stand beside redirect; a route has exactly one of respond, redirect, upstream"]),
        (N + "redirect = { to = '/x' }\nrespond = 'status'",
         ["redirect: can't stand beside respond; a route has exactly one of respond, redirect, upstream"]),
        (N + "redirect = { to = '/x' }\nrewrite = '/'", ["rewrite: goes only with upstream"]),
        (N + "redirect = { to = 'x' }", [f"redirect.to: {BEGIN}"]),
        (N + "redirect = { to = '//x' }", [f"redirect.to: {BEGIN}"]),
        (N + "redirect = { to = '{target}' }", [f"redirect.to: {BEGIN}"]),
        (X + "redirect = { to = 'https://{rest}.example/' }", [f"redirect.to: {HOST}"]),
        (N + "redirect = { to = 'https://{header:Host}/' }",
         ["redirect.to: no header field may choose where a redirect leads"]),
        (N + "redirect = { to = 'https://{host}{target}' }",
         ["redirect.to: {host} needs hosts: without them any client could choose where it leads"]),
        (N + "redirect = { to = '/a b' }", ['redirect.to: " " stands in no URL as it is; write %20']),
        (N + 'redirect = { to = "/a\\r\\nX: y" }', ['redirect.to: "\\r" stands in no URL as it is; write %0D']),
        (N + "redirect = { to = '/é' }", ['redirect.to: "é" stands in no URL as it is; write %C3%A9']),
        (X + "redirect = { to = '/{rset}' }", ["redirect.to: unknown name {rset}; did you mean {rest}?"]),
        (X.replace("rest", "path") + "redirect = { to = '/{path}' }",
         ["redirect.to: {path} is a capture and a fact of the request; rename the capture"]),
    ],
)  # fmt: skip
def test_faults(keys: str, expected: list[str]) -> None:
    assert faults(keys) == expected
