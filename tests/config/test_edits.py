from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.config.edits import HEADERS, HOST, value
from splicer.config.load import load
from splicer.config.scalars import BadValue
from splicer.edits import Edits
from splicer.errors import ConfigError
from tests.config.test_routes import P, R, X, faults, route

OWN = [
    "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "Content-Length", "Transfer-Encoding", "Trailer",
    "Expect", "Host", "Via", "Forwarded", "X-Real-IP", "X-Request-ID", "X-Original-URI", "Sec-WebSocket-Accept",
    "sec-websocket-key", "Sec-WebSocket-", "X-Forwarded-For", "x-forwarded-anything", "X-Splicer-A", "X_Forwarded_For",
    "x_request-id", "TRANSFER_ENCODING",
]  # fmt: skip


def test_edits_of_a_route() -> None:
    full = route(
        X + "host = '{pod}.a:80'\nrequest_headers = { A = '{pod}', B = false }\nresponse_headers = { C = 'd' }"
    )
    assert full.edits is not None
    assert full.edits.host is not None
    assert full.edits.host.text == "{pod}.a:80"
    assert full.edits.request is not None
    assert [(name, item and item.text) for name, item in full.edits.request.entries] == [(b"A", "{pod}"), (b"B", None)]
    assert full.edits.response is not None
    assert route(R + "response_headers = { C = 'd' }").edits == Edits(response=full.edits.response)


@pytest.mark.parametrize("keys", ["", "request_headers = {}\nresponse_headers = {}"])
def test_a_route_without_edits_has_none(keys: str) -> None:
    assert route(P + keys).edits is None


@pytest.mark.parametrize("key", ["request_headers", "response_headers"])
@pytest.mark.parametrize("name", OWN)
def test_what_is_the_edges_own_can_not_be_set(key: str, name: str) -> None:
    for item in ("'x'", "false"):
        (fault,) = faults(P + f"{key} = {{ {name} = {item} }}")
        assert fault.startswith(f"{key}.{name}: can't be set: ")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (R + "host = 'a'\nrequest_headers = { A = 'b' }",
         ["host: goes only with upstream", "request_headers: goes only with upstream"]),
        (P + "request_headers = 'a'", ['request_headers: must be a table, not "a"']),
        (P + "request_headers = { 'a b' = 'c', 'é' = 'c', '' = 'c' }",
         [f"request_headers.{name}: is no header name (RFC 9110 §5.1)" for name in ('"a b"', '"é"', '""')]),
        (P + "response_headers = { A = true, B = 1, C = ['x'] }",
         ["response_headers.A: must be a string, or false to remove the header",
          "response_headers.B: must be a string, not 1", "response_headers.C: must be a string, not a list"]),
        (P + "response_headers = { A = '', B = ' x', C = \"x\\t\" }",
         [f"response_headers.{name}: a header value is not empty and has no outer spaces; write false to remove the "
          "header" for name in "ABC"]),
        (P + 'request_headers = { A = "a\\r\\nB: c", B = "é", C = "\\u0000" }',
         ['request_headers.A: "\\r" is in no header value: it is ASCII without control characters',
          'request_headers.B: "é" is in no header value: it is ASCII without control characters',
          'request_headers.C: "\\x00" is in no header value: it is ASCII without control characters']),
        (P + "request_headers = { A-b = 'c', a_B = 'd' }", ['request_headers: "A-b" and "a_B" are the same header']),
        (P + "request_headers = { A = '{', B = '{a b}' }",
         ['request_headers.A: "{" is not closed; write "{{" for the brace itself',
          "request_headers.B: {a b} is no name; write for example {host} or {header:User-Agent}"]),
        (P + "request_headers = { A = '{hots}' }", ["request_headers.A: unknown name {hots}; did you mean {host}?"]),
        (X + "response_headers = { A = '{zz}' }",
         ["response_headers.A: unknown name {zz}; there are {client}, {host}, {path}, {pod}, {query}, {request_id}, "
          "{rest}, {scheme}, {target}"]),
        (X.replace("rest", "path") + "rewrite = '{path}'\nresponse_headers = { A = '{path}' }",
         ["response_headers.A: {path} is a capture and a fact of the request; rename the capture"]),
        (X.replace("pod", "host") + "host = '{host}.a'",
         ["host: {host} is a capture and a fact of the request; rename the capture"]),
        (P + "host = 'a b'", ['host: "a b" is no host; write for example "app.example" or "app.example:8080"']),
        (P + "host = '//a'", ['host: "//a" is no host; write for example "app.example" or "app.example:8080"']),
        (P + "host = '{header:X}'", ["host: no header field may choose the host"]),
        (P + "host = ''", ['host: "" is no host; write for example "app.example" or "app.example:8080"']),
        (P + "host = false", ["host: must be a string, not false"]),
        ("name = 'r'\nregex = '('\nupstream = 'any'\nhost = '{zz}'", ["regex: missing ): ("]),
    ],
)  # fmt: skip
def test_faults(keys: str, expected: list[str]) -> None:
    assert faults(keys) == expected


def test_a_capture_may_have_the_name_of_a_fact_where_no_value_uses_it() -> None:
    loaded = route(X.replace("rest", "path") + "rewrite = '{path}'\nrequest_headers = { A = '{pod} {host}' }")
    assert loaded.edits is not None


A = X + "authorize = { upstream = 'any', path = '/p', captures = { who = 'X-Who' }"


def test_a_value_may_hold_what_an_authorizer_gives() -> None:
    assert route(A + "}\nhost = '{who}.a'\nresponse_headers = { A = '{who} {pod}' }").edits is not None
    assert faults(A + "}\nrequest_headers = { A = '{hwo}' }") == [
        "request_headers.A: unknown name {hwo}; did you mean {who}?"
    ]
    assert faults(A + ", on_failure = 'fallback' }\nfallback = 'any'\nhost = '{who}.a'") == [
        "host: {who} is not known when the authorizer has failed, and that leads here; "
        'write authorize.on_failure = "refuse"'
    ]


def test_a_value_may_come_from_the_environment() -> None:
    text = '[[routes]]\nname = "a"\npath = "/"\nrespond = "status"\nresponse_headers = { A = "${A}" }'
    (loaded,) = load(text, environ={"A": "{client}"}).routes
    assert loaded.edits is not None
    assert loaded.edits.response is not None
    assert HEADERS.write(loaded.edits.response) == {"A": "{client}"}
    with pytest.raises(ConfigError, match="is in no header value"):
        load(text, environ={"A": "a\r\nB: c"})


@given(st.text(max_size=12))
def test_no_literal_text_with_a_control_character_is_taken(text: str) -> None:
    try:
        parsed = value(text)
    except ValueError:
        return
    assert all(" " <= character <= "~" or character == "\t" for character in parsed.text)


def test_what_a_host_may_be() -> None:
    for text in ("a", "a.b:80", "[::1]:8080", "{pod}.b", "x-{pod}"):
        assert HOST.write(HOST.parse(text)) == text
    with pytest.raises(BadValue):
        HOST.parse("a,b c")
