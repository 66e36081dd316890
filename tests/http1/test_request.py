"""Request heads: what passes passes unchanged, what is ambiguous is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import BadRequest, HeadTooLarge, MethodNotAllowed, RequestLineTooLong
from splicer.http1.head import LONGEST_LINE, MOST_FIELDS
from splicer.http1.request import request_line
from splicer.http1.version_error import Http2NotSpoken
from splicer.model import RequestHead
from tests.http1.requests import CL, TE, head, parse


def test_a_head_is_taken_apart() -> None:
    raw = head(b"hOST-x: 1", b"X-Two:2", b"x-empty:", b"X-Two: \t two\xff\t ", start=b"GET /a%20b?c=%2F HTTP/1.1")
    assert parse(raw) == RequestHead(
        method="GET",
        target="/a%20b?c=%2F",
        path="/a%20b",
        query="c=%2F",
        host="a",
        version="1.1",
        headers=(
            (b"Host", b"a"),
            (b"hOST-x", b"1"),
            (b"X-Two", b"2"),
            (b"x-empty", b""),
            (b"X-Two", b"two\xff"),
        ),
    )


def test_what_is_odd_but_unambiguous_passes() -> None:
    assert parse(b"\r\n\r\n" + head()).path == "/p"
    assert parse(head(b"X_Under_Score: 1")).headers[1] == (b"X_Under_Score", b"1")
    assert parse(head(b"!#$%&'*+-.^_`|~0: 1")).headers[1][0] == b"!#$%&'*+-.^_`|~0"
    assert parse(head(start=b"brew /pot HTTP/1.1")).method == "brew"
    assert parse(head(start=b"GET / HTTP/1.0", host=None)).host == ""
    assert parse(head(start=b"GET / HTTP/1.0")).version == "1.0"
    assert parse(head(b"Content-Length: 007")).content_length == 7
    assert parse(bytearray(head())).path == "/p"


def test_the_authority_of_an_absolute_target_overrides_host() -> None:
    parsed = parse(head(start=b"GET http://b.example:81/x?y HTTP/1.1"))
    assert (parsed.host, parsed.path, parsed.query) == ("b.example:81", "/x", "y")
    assert parsed.target == "http://b.example:81/x?y"


def test_options_for_the_server() -> None:
    assert parse(head(start=b"OPTIONS * HTTP/1.1")).path == "*"


@pytest.mark.parametrize(
    ("lines", "length", "chunked", "has_body"),
    [
        ((), None, False, False),
        ((b"Content-Length: 0",), 0, False, False),
        ((b"content-LENGTH:\t5 ",), 5, False, True),
        ((b"Content-Length: 9223372036854775807",), 2**63 - 1, False, True),
        ((b"Transfer-Encoding: chunked",), None, True, True),
        ((b"transfer-encoding: CHUNKED",), None, True, True),
    ],
)
def test_framing(lines: tuple[bytes, ...], length: int | None, chunked: bool, has_body: bool) -> None:
    parsed = parse(head(*lines))
    assert (parsed.content_length, parsed.chunked, parsed.has_body) == (length, chunked, has_body)


@pytest.mark.parametrize("raw", [b"PRI * HTTP/2.0\r\n\r\n", bytearray(b"PRI * HTTP/2.0\r\n\r\n")])
def test_the_preface_of_http2_is_known(raw: bytes) -> None:
    with pytest.raises(Http2NotSpoken):
        parse(raw)


@pytest.mark.parametrize("raw", [b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"])
def test_another_version_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(BadRequest, match=r"HTTP/2\.0"):
        parse(raw)


SMUGGLING = {
    "CL.TE": head(CL, TE),
    "TE.CL": head(TE, CL),
    "CL 0 and TE": head(b"Content-Length: 0", TE),
    "TE.TE": head(TE, TE),
    "TE twice, one unknown": head(TE, b"Transfer-Encoding: x"),
    "TE list": head(b"Transfer-Encoding: gzip, chunked"),
    "TE chunked twice": head(b"Transfer-Encoding: chunked, chunked"),
    "TE chunked not last": head(b"Transfer-Encoding: chunked, identity"),
    "TE identity": head(b"Transfer-Encoding: identity"),
    "TE identity and CL": head(b"Transfer-Encoding: identity", CL),
    "TE empty": head(b"Transfer-Encoding:"),
    "TE comma": head(b"Transfer-Encoding: chunked,"),
    "TE quoted": head(b'Transfer-Encoding: "chunked"'),
    "TE parameter": head(b"Transfer-Encoding: chunked;q=1"),
    "TE xchunked": head(b"Transfer-Encoding: xchunked"),
    "TE vertical tab": head(b"Transfer-Encoding:\x0bchunked"),
    "TE in HTTP/1.0": head(TE, start=b"POST / HTTP/1.0"),
    "TE before a space and colon": head(b"Transfer-Encoding : chunked", CL),
    "TE behind a bare LF": head(b"X: x\nTransfer-Encoding: chunked", CL),
    "TE behind a bare CR": head(b"X: x\rTransfer-Encoding: chunked", CL),
    "TE folded": head(b"Transfer-Encoding:\r\n chunked", CL),
    "TE behind a fold": head(b"X: x\r\n Transfer-Encoding: chunked"),
    "CL twice, same": head(CL, CL),
    "CL twice, different": head(CL, b"Content-Length: 6"),
    "CL list": head(b"Content-Length: 5, 5"),
    "CL empty": head(b"Content-Length:"),
    "CL signed": head(b"Content-Length: +5"),
    "CL negative": head(b"Content-Length: -5"),
    "CL underscore": head(b"Content-Length: 5_0"),
    "CL hex": head(b"Content-Length: 0x5"),
    "CL inner space": head(b"Content-Length: 5 0"),
    "CL fraction": head(b"Content-Length: 5.0"),
    "CL other digits": head(b"Content-Length: \xb2"),
    "CL over 2**63": head(b"Content-Length: 9223372036854775808"),
    "CL huge": head(b"Content-Length: " + b"9" * 40),
    "CL of 5000 digits": head(b"Content-Length: " + b"9" * 5000),
    "CL before a space and colon": head(b"Content-Length : 5"),
}
MALFORMED = {
    "bare LF": head().replace(b"\r\n", b"\n"),
    "one bare LF": head(b"A: b\nC: d"),
    "blank line by bare LFs": head()[:-4] + b"\n\n",
    "bare CR": head(b"A: b\rC: d"),
    "CR before CRLF": head(b"A: b\r"),
    "NUL in a value": head(b"A: \0"),
    "NUL in a name": head(b"A\0: b"),
    "NUL in the target": head(start=b"GET /\0 HTTP/1.1"),
    "control in a value": head(b"A: b\x01"),
    "DEL in a value": head(b"A: b\x7f"),
    "obs-fold": head(b"A: b", b" c"),
    "obs-fold by tab": head(b"A: b", b"\tc"),
    "fold before the first field": head(host=b" Host: a"),
    "space before colon": head(b"A : b"),
    "tab before colon": head(b"A\t: b"),
    "no name": head(b": b"),
    "no colon": head(b"A"),
    "space in a name": head(b"A B: c"),
    "non-ASCII name": head(b"\xc3\xa4: b"),
    "bracket in a name": head(b"A[]: b"),
    "two spaces": head(start=b"GET  / HTTP/1.1"),
    "tab for space": head(start=b"GET\t/ HTTP/1.1"),
    "space in the target": head(start=b"GET /a b HTTP/1.1"),
    "space at the end": head(start=b"GET / HTTP/1.1 "),
    "no target": head(start=b"GET HTTP/1.1"),
    "no version": head(start=b"GET /"),
    "no method": head(start=b" / HTTP/1.1"),
    "bad method": head(start=b"G(T / HTTP/1.1"),
    "raw non-ASCII in the target": head(start=b"GET /\xc3\xa4 HTTP/1.1"),
    "lower-case http": head(start=b"GET / http/1.1"),
    "HTTP/0.9": head(start=b"GET / HTTP/0.9"),
    "HTTP/1.2": head(start=b"GET / HTTP/1.2"),
    "HTTP/1.10": head(start=b"GET / HTTP/1.10"),
    "HTTP/11": head(start=b"GET / HTTP/11"),
    "HTTP/2.0": b"PRI * HTTP/2.0\r\nA: b\r\n\r\n",
    "no Host": head(host=None),
    "two Hosts, same": head(b"Host: a"),
    "two Hosts, other case": head(b"hOsT: b"),
    "two Hosts in HTTP/1.0": head(b"Host: b", start=b"GET / HTTP/1.0"),
    "bad Host in HTTP/1.0": head(start=b"GET / HTTP/1.0", host=b"Host: a,b"),
    "empty Host": head(host=b"Host:"),
    "Host list": head(host=b"Host: a, b"),
    "Host with a user": head(host=b"Host: u@a"),
    "Host with a path": head(host=b"Host: a/b"),
    "Host with a space": head(host=b"Host: a b"),
    "Host and absolute-form, Host bad": head(start=b"GET http://b/ HTTP/1.1", host=b"Host: a,b"),
    "no Host but absolute-form": head(start=b"GET http://b/ HTTP/1.1", host=None),
    "dot segment": head(start=b"GET /../etc HTTP/1.1"),
    "fragment": head(start=b"GET /a#b HTTP/1.1"),
    "no blank line": head()[:-2],
    "two heads": head() + head(),
    "body behind": head(CL) + b"hello",
    "nine leading lines": b"\r\n" * 9 + head(),
    "leading LF": b"\n" + head(),
    "only lines": b"\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in (SMUGGLING | MALFORMED).items()])
def test_what_is_malformed_or_ambiguous_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(raw)
    assert refused.value.status == 400
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CL.TE", "both"),
        ("TE.TE", "other than one chunked"),
        ("TE xchunked", "other than one chunked"),
        ("TE in HTTP/1.0", "HTTP/1.0"),
        ("CL twice, same", "more than one"),
        ("CL list", "5, 5"),
        ("HTTP/2.0", "HTTP/2.0"),
        ("lower-case http", "http/1.1"),
        ("obs-fold", "folding"),
        ("one bare LF", "bare LF"),
        ("bare CR", "bare CR"),
        ("NUL in a value", "NUL"),
        ("control in a value", "0x01"),
        ("space before colon", "space before the colon"),
        ("no name", "without a name"),
        ("no colon", "without a colon"),
        ("bad method", "request line"),
        ("raw non-ASCII in the target", "visible ASCII"),
        ("bracket in a name", "no token"),
        ("no Host", "no Host"),
        ("two Hosts, same", "2 Host"),
        ("body behind", "one request head"),
    ],
)
def test_the_log_learns_which_rule_was_broken(name: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        parse((SMUGGLING | MALFORMED)[name])


@pytest.mark.parametrize("start", [b"CONNECT a:443 HTTP/1.1", b"CONNECT / HTTP/1.1", b"TRACE / HTTP/1.1"])
def test_connect_and_trace_are_not_allowed(start: bytes) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        parse(head(start=start))
    assert "GET" in refused.value.allow
    assert not {"CONNECT", "TRACE"} & set(refused.value.allow)


def test_a_head_past_the_limit_is_refused_though_it_came_whole() -> None:
    raw = head(b"X: " + b"x" * 40_000)
    with pytest.raises(HeadTooLarge):
        parse(raw)
    assert len(parse(raw, limit=len(raw)).headers) == 2
    with pytest.raises(HeadTooLarge):
        parse(raw, limit=len(raw) - 1)


def test_a_request_line_of_so_many_bytes_passes_and_no_longer_one() -> None:
    line = b"GET /" + b"x" * (LONGEST_LINE - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"
    assert len(line) == 8192
    assert parse(b"\r\n" + head(start=line)).method == "GET"
    with pytest.raises(RequestLineTooLong):
        parse(b"\r\n" + head(start=b"X" + line))


@pytest.mark.parametrize("leading", [b"", b"\r\n" * 8])
def test_a_head_may_have_so_many_fields_and_no_more(leading: bytes) -> None:
    most = [b"a:"] * (MOST_FIELDS - 1)
    assert len(parse(leading + head(*most)).headers) == MOST_FIELDS == 128
    with pytest.raises(HeadTooLarge, match="129 fields, 128 allowed"):
        parse(leading + head(*most, b"a:"))
    with pytest.raises(HeadTooLarge):
        parse(leading + head(*most, b"no field line"))  # nothing has looked at the lines yet


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (head(start=b"CONNECT a:443 HTTP/1.1"), ("CONNECT", "a:443")),
        (head(start=b"GET /a/../b?secret=1?2 HTTP/1.1"), ("GET", "/a/../b")),
        (head(start=b"GET http://b/x?y HTTP/1.1"), ("GET", "http://b/x")),
        (head(start=b"GET ?y HTTP/1.1"), ("GET", "")),
        (head(start=b"GET " + b"\x80" * 4000 + b" HTTP/1.1"), ("GET", "\\x80" * 1024)),
        (b"\r\n\r\n" + head(), ("POST", "/p")),
        (bytearray(head()), ("POST", "/p")),
        (b"GET /a HTTP/1.1\r\nHo", ("GET", "/a")),
        (b"GET /a HTTP/1.1\nHost: a\n\n", ("GET", "/a")),
        (b"PRI * HTTP/2.0\r\n\r\n", ("PRI", "*")),
        (head(start=b"GET /\x00\t\x1b\x7f\xc3\xa9\\ HTTP/1.1"), ("GET", r"/\x00\x09\x1b\x7f\xc3\xa9" + "\\")),
        (b"", None),
        (b"GET /a HTTP/1.1", None),
        (b"GET /a\r\n\r\n", None),
        (b"GET /a b HTTP/1.1\r\n\r\n", None),
        (b"G(T /a HTTP/1.1\r\n\r\n", None),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", None),
        (b"junk\r\n" + head(), None),
    ],
)
def test_the_request_line_of_a_refused_head_can_be_told(raw: bytes | bytearray, line: tuple[str, str] | None) -> None:
    assert request_line(raw) == line


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda target: head(start=b"GET /" + target + b" HTTP/1.1")))
def test_what_is_told_of_any_request_line_is_visible_ascii(raw: bytes) -> None:
    for word in request_line(raw) or ():
        assert all("!" <= letter <= "~" for letter in word)
