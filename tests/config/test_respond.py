from __future__ import annotations

import pytest
from attrs import frozen

from splicer.config.keys import Key
from splicer.config.reader import Reader
from splicer.config.respond import RESPOND, respond
from splicer.model import Respond, StatusPage


@frozen
class Holder:
    respond: object


HOLDER = Reader(Holder, {"respond": Key(RESPOND, "")})


def faults(value: object) -> list[tuple[str, str]]:
    return [(fault.key, fault.text) for fault in HOLDER.read({"respond": value}).faults]


def test_the_status_page() -> None:
    assert respond("status") is StatusPage.STUB_STATUS


def test_the_least_answer() -> None:
    assert respond({"status": 204}) == Respond(204)


def test_every_key() -> None:
    assert respond(
        {
            "status": 200,
            "body": "grün\n",
            "content_type": "application/json",
            "headers": {"X-A": "b c", "retry-after": "5"},
            "draining": {"status": 503, "headers": {"X-B": "d"}},
            "unprotected": {"status": 200, "body": "unprotected\n"},
        }
    ) == Respond(
        200,
        "grün\n".encode(),
        "application/json",
        ((b"X-A", b"b c"), (b"retry-after", b"5")),
        Respond(503, headers=((b"X-B", b"d"),)),
        Respond(200, b"unprotected\n"),
    )


FORM = 'must be "status" or a table such as { status = 200, body = "ok\\n" }'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, [("respond", f"{FORM}, not true")]),
        (404, [("respond", f"{FORM}, not 404")]),
        ("stub", [("respond", f'{FORM}, not "stub"')]),
        ({}, [("respond.status", "is missing")]),
        ({"status": 199}, [("respond.status", "must be between 200 and 599, not 199")]),
        ({"status": "200"}, [("respond.status", 'must be an integer, not "200"')]),
        ({"status": 204, "body": "x"}, [("respond", "a 204 has no body (RFC 9110 §15)")]),
        ({"status": 304, "body": "x"}, [("respond", "a 304 has no body (RFC 9110 §15)")]),
        ({"status": 200, "bdy": "x"}, [("respond.bdy", 'unknown key; did you mean "body"?')]),
        (
            {"status": 200, "draining": {"status": 503, "draining": {"status": 503}}},
            [("respond.draining", "has no draining of its own")],
        ),
        (
            {"status": 200, "unprotected": {"status": 503, "draining": {"status": 503}}},
            [("respond.unprotected", "has no draining of its own")],
        ),
        (
            {"status": 200, "draining": {"status": 503, "unprotected": {"status": 503}}},
            [("respond.draining", "has no unprotected of its own")],
        ),
        (
            {"status": 200, "draining": {"body": 1}},
            [("respond.draining.status", "is missing"), ("respond.draining.body", "must be a string, not 1")],
        ),
        ({"status": 200, "draining": "no"}, [("respond.draining", 'must be a table, not "no"')]),
    ],
)
def test_faults(value: object, expected: list[tuple[str, str]]) -> None:
    assert faults(value) == expected


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "CONNECTION", "Content-Type"])
def test_headers_that_are_not_the_file_s(name: str) -> None:
    ((key, text),) = faults({"status": 200, "headers": {name: "x"}})
    assert key == f"respond.headers.{name}"
    assert text.startswith("can't be set: ")


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\r\nb", "a\x00"])
def test_no_header_name(name: str) -> None:
    assert [text for _, text in faults({"status": 200, "headers": {name: "x"}})] == [
        "is no header name (RFC 9110 §5.1)"
    ]


@pytest.mark.parametrize("value", ["a\nb", "a\r", "a\x00b", "é", " a", "a ", "", "\x7f", 5])
def test_no_header_value(value: object) -> None:
    for table, key in (({"headers": {"a": value}}, "headers.a"), ({"content_type": value}, "content_type")):
        assert [key for key, _ in faults({"status": 200, **table})] == [f"respond.{key}"]
