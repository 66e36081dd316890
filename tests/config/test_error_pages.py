from __future__ import annotations

import pytest

from splicer.config.dump import as_tables
from splicer.config.error_pages import ErrorPage, by_status
from splicer.config.load import load
from splicer.errors import ConfigError

ROUTE = '[[routes]]\nname = "r"\npath = "/"\nrespond = "status"\n'


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(text + ROUTE if text.startswith("errors") else ROUTE + text, environ={})
    return [fault.removeprefix("routing.toml: ") for fault in refused.value.faults]


def test_without_any() -> None:
    assert load(ROUTE, environ={}).errors == ()
    assert load("errors = []\n" + ROUTE, environ={}).errors == ()


def test_tables() -> None:
    config = load(
        ROUTE + '[[errors]]\nstatus = [502, 503]\nbody = "{}"\ncontent_type = "application/json"\n'
        '[[errors]]\nstatus = [404]\nbody = "${A}é"\n',
        environ={"A": "a\n"},
    )
    first, second = config.errors
    assert first == ErrorPage((502, 503), b"{}", "application/json")
    assert second == ErrorPage((404,), "a\né".encode())
    assert by_status(config.errors) == {502: first, 503: first, 404: second}
    assert as_tables(config)["errors"][1] == {
        "status": [404],
        "body": "a\né",
        "content_type": "text/plain; charset=utf-8",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("errors = 1\n", ["errors: must be an array of tables, not 1; write [[errors]] above each table"]),
        ("errors = [1]\n", ["errors 1: must be a table, not 1"]),
        ("[[errors]]\n", ["errors 1: status: is missing", "errors 1: body: is missing"]),
        ("[[errors]]\nstatus = []\nbody = ''\n",
         ["errors 1: status: must not be empty: no answer would have the body"]),
        ("[[errors]]\nstatus = 502\nbody = ''\n", ["errors 1: status: must be a list, not 502"]),
        ("[[errors]]\nstatus = [200, 600, true]\nbody = 1\nbodi = ''\n",
         ["errors 1: status: must be between 400 and 599, not 200",
          "errors 1: status: must be between 400 and 599, not 600",
          "errors 1: status: must be an integer, not true", "errors 1: body: must be a string, not 1",
          'errors 1: bodi: unknown key; did you mean "body"?']),
        ("[[errors]]\nstatus = [502]\nbody = ''\ncontent_type = \"a\\nb\"\n",
         ['errors 1: content_type: "a\\nb" is no header value: it is ASCII without control characters and outer '
          "spaces"]),
        ("[[errors]]\nstatus = [502, 502]\nbody = ''\n[[errors]]\nstatus = [404, 502]\nbody = ''\n",
         ["errors 1: status: errors 1 has 502 already; a status has one body",
          "errors 2: status: errors 1 has 502 already; a status has one body"]),
        ("[[eror]]\nstatus = [502]\n", ['eror: unknown section; did you mean "errors"?']),
    ],
)  # fmt: skip
def test_faults(text: str, expected: list[str]) -> None:
    assert faults(text) == expected
