"""What goes on to the pod: order and case kept, one framing, and nobody speaks in the proxy's name."""

from __future__ import annotations

from itertools import product

import h11
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from splicer.http1.forwarded import Forwarding
from splicer.http1.headers import (
    forwarded_headers,
    forwarded_trailers,
    is_asserted,
    request_for_pod,
    serialize_request,
)
from splicer.http1.request import parse_request
from splicer.model import Headers, RequestHead

FORWARDING = Forwarding("1.2.3.4", "1.2.3.4", "https", "shown.example", "id-1")
ASSERTED = [
    (b"X-Forwarded-For", b"1.2.3.4"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"shown.example"),
    (b"X-Real-IP", b"1.2.3.4"),
    (b"X-Request-ID", b"id-1"),
]
VIA = (b"Via", b"1.1 splicer")
ADDED = [*ASSERTED, VIA]


def head(*lines: bytes, start: bytes = b"GET /a HTTP/1.1", host: bytes | None = b"Host: a") -> RequestHead:
    fields = lines if host is None else (host, *lines)
    return parse_request(b"\r\n".join([start, *fields, b"", b""]), limit=65536)[0]


def sent(
    request: RequestHead,
    target: str | None = None,
    *,
    protocol: str | None = None,
    extra: Headers = (),
    authority: str = "",
    forwarding: Forwarding = FORWARDING,
    close: bool = False,
) -> list[tuple[bytes, bytes]]:
    target = request.target if target is None else target
    wire = request_for_pod(
        request, target, forwarding=forwarding, protocol=protocol, extra=extra, authority=authority, close=close
    )
    start, *lines = wire.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert start == f"{request.method} {target} HTTP/1.1".encode()
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]


@pytest.mark.parametrize(
    ("protocol", "close", "said"),
    [
        (None, False, []),
        (None, True, [b"close"]),
        ("websocket", False, [b"upgrade"]),
        ("websocket", True, [b"upgrade"]),
    ],
)
def test_a_pod_is_told_that_no_other_request_follows(protocol: str | None, close: bool, said: list[bytes]) -> None:
    fields = sent(head(b"Connection: keep-alive"), protocol=protocol, close=close)
    assert [value for name, value in fields if name == b"Connection"] == said


def test_hop_by_hop_fields_and_those_that_connection_nominates_stay_here() -> None:
    headers = (
        (b"a-B", b"1"),
        (b"Connection", b"close, X-One,,\tx-TWO "),
        (b"CONNECTION", b"Host, Content-Length, cookie"),
        (b"Host", b"a"),
        (b"x-one", b"1"),
        (b"X-Two", b"2"),
        (b"Cookie", b"c"),
        (b"content-length", b"3"),
        (b"TE", b"trailers"),
        (b"Trailer", b"x"),
        (b"Expect", b"100-continue"),
        (b"Keep-Alive", b"1"),
        (b"Proxy-Connection", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"Drop-Me", b"1"),
        (b"A-b", b"2"),
    )
    assert forwarded_headers(headers, drop=frozenset({b"drop-me"})) == [
        (b"a-B", b"1"),
        (b"Host", b"a"),
        (b"content-length", b"3"),
        (b"Trailer", b"x"),
        (b"Expect", b"100-continue"),
        (b"A-b", b"2"),
    ]


def test_trailers_frame_route_and_assert_nothing() -> None:
    kept = [(b"X-Sum", b"1"), (b"x_y", b"2\xff")]
    refused = [b"Content-Length", b"Transfer-Encoding", b"Host", b"Connection", b"Trailer", b"X-Real-IP", b"x_real_ip"]
    ours = [(b"X-Splicer-A", b"1")]
    assert forwarded_trailers([kept[0], *((name, b"x") for name in refused), *ours, kept[1]]) == kept


def test_a_request_is_written_in_the_order_it_came() -> None:
    assert serialize_request("GET", "/a?b", [(b"z", b"1"), (b"Host", b"a"), (b"A", b"")]) == (
        b"GET /a?b HTTP/1.1\r\nz: 1\r\nHost: a\r\nA: \r\n\r\n"
    )
    assert sent(head(b"zZ: 1", b"X-A: 2", b"zz: 3", host=b"hOST: a"), "/x?y") == [
        (b"hOST", b"a"),
        (b"zZ", b"1"),
        (b"X-A", b"2"),
        (b"zz", b"3"),
        *ADDED,
        (b"X-Original-URI", b"/a"),
    ]


def test_a_pod_that_gets_another_target_gets_the_clients_too() -> None:
    def original(request: RequestHead, target: str) -> list[bytes]:
        return [value for name, value in sent(request, target) if name.lower() == b"x-original-uri"]

    assert original(head(start=b"GET /a/%2f?b= HTTP/1.1"), "/a/%2f?b=") == []
    assert original(head(start=b"GET /a/%2f?b= HTTP/1.1"), "/a//?b=") == [b"/a/%2f?b="]
    assert original(head(start=b"GET http://a/b HTTP/1.1"), "/b") == [b"http://a/b"]
    assert original(head(b"X-Original-URI: /mine"), "/t") == [b"/a"]


@pytest.mark.parametrize("believed", [False, True])
@pytest.mark.parametrize("line", [b"X-Original-URI: /mine", b"x-original-uri: /mine", b"X_Original_URI: /mine"])
def test_nobody_else_says_what_the_original_target_was(line: bytes, believed: bool) -> None:
    assert sent(head(line), forwarding=evolve(FORWARDING, believed=believed)) == [(b"Host", b"a"), *ADDED]
    name, _, value = line.partition(b": ")
    assert forwarded_trailers([(name, value)]) == []


def test_asserted_fields_take_the_place_of_the_client_s_own() -> None:
    request = head(
        b"x-forwarded-FOR: 9.9.9.9",
        b"A: 1",
        b"X-Forwarded-For: 8.8.8.8",
        b"X-Real-Ip: 9.9.9.9",
        b"X-Request-Id: theirs",
        b"Connection: x-forwarded-proto",
        b"X-Forwarded-Proto: gopher",
    )
    assert sent(request) == [
        (b"Host", b"a"),
        (b"x-forwarded-FOR", b"1.2.3.4"),
        (b"A", b"1"),
        (b"X-Real-Ip", b"1.2.3.4"),
        (b"X-Request-Id", b"id-1"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"shown.example"),
        VIA,
    ]


FORGED = [
    b"X-Splicer-Fallback-From: me",
    b"x-splicer-: x",
    b"X_Splicer_Fallback_From: me",
    b"X_Forwarded_For: 9.9.9.9",
    b"X-Real_IP: 9.9.9.9",
    b"x_request_id: 1",
]


@pytest.mark.parametrize("line", FORGED)
def test_nobody_speaks_in_the_proxy_s_name(line: bytes) -> None:
    assert sent(head(line)) == [(b"Host", b"a"), *ADDED]


OTHERS = [
    b"Forwarded: for=9.9.9.9",
    b"X-Original-URL: /admin",
    b"x-rewrite-url: /admin",
    b"X-Forwarded-Port: 443",
    b"X-Forwarded-Prefix: /x",
    b"X-Forwarded-Ssl: on",
    b"x-forwarded-Anything: y",
]


@pytest.mark.parametrize("line", OTHERS)
def test_what_else_says_where_a_request_came_from_passes_from_proxies_alone(line: bytes) -> None:
    assert sent(head(line)) == [(b"Host", b"a"), *ADDED]
    name, _, value = line.partition(b": ")
    assert sent(head(line), forwarding=evolve(FORWARDING, believed=True)) == [(b"Host", b"a"), (name, value), *ADDED]
    assert forwarded_trailers([(name, value)]) == []


@pytest.mark.parametrize("believed", [False, True])
@pytest.mark.parametrize(
    "name", [b"X_Original_URL", b"x-rewrite_url", b"X_Forwarded-Port", b"X_FORWARDED_ANYTHING", b"X_Real_IP"]
)
def test_nobody_writes_them_with_underscores_in_good_faith(name: bytes, believed: bool) -> None:
    told = evolve(FORWARDING, believed=believed)
    assert sent(head(name + b": 1"), forwarding=told) == [(b"Host", b"a"), *ADDED]


@pytest.mark.parametrize("line", [*FORGED, *OTHERS])
def test_no_spelling_of_them_is_overlooked(line: bytes) -> None:
    first, *parts = line.partition(b":")[0].replace(b"_", b"-").split(b"-")
    for joints in product((b"-", b"_"), repeat=len(parts)):
        name = first + b"".join(joint + part for joint, part in zip(joints, parts, strict=True))
        for spelt in (name.lower(), name.upper()):
            assert (spelt, b"forged") not in sent(head(spelt + b": forged"))


def test_other_fields_with_underscores_pass() -> None:
    others = [(b"X_Splice", b"1"), (b"api_key", b"2"), (b"X_Forwarded", b"3"), (b"Forwarded_For", b"4"), (b"x_", b"5")]
    assert sent(head(*(name + b": " + value for name, value in others)))[1:6] == others


def test_via_tells_of_this_pass_behind_those_of_others() -> None:
    request = head(b"Via: 1.0 fred, 1.1 splicer", b"A: 1", b"via: 1.1 nginx")
    fields = [(b"Via", b"1.0 fred, 1.1 splicer"), (b"A", b"1"), (b"via", b"1.1 nginx")]
    assert sent(request) == [(b"Host", b"a"), *fields, *ADDED]
    assert sent(head(start=b"GET / HTTP/1.0", host=None))[-1] == (b"Via", b"1.0 splicer")


def test_an_empty_assertion_is_not_sent_and_not_left_to_the_client() -> None:
    nobody = Forwarding("1.2.3.4", "1.2.3.4", "http", "", "id")
    request = head(b"X-Forwarded-Host: theirs", start=b"GET / HTTP/1.0", host=None)
    assert b"x-forwarded-host" not in {name.lower() for name, _ in sent(request, forwarding=nobody)}


def test_the_authority_of_an_absolute_target_replaces_host_in_place() -> None:
    request = head(b"Host: old", b"B: 2", start=b"GET http://new:1/ HTTP/1.1", host=b"A: 1")
    assert sent(request, "/")[:3] == [(b"A", b"1"), (b"Host", b"new:1"), (b"B", b"2")]


def test_a_request_without_host_gets_one() -> None:
    request = head(b"A: 1", start=b"GET / HTTP/1.0", host=None)
    assert sent(request, authority="pod:80")[:2] == [(b"Host", b"pod:80"), (b"A", b"1")]
    assert sent(request)[0] == (b"Host", b"")
    request = head(b"A: 1", start=b"GET http://b/ HTTP/1.0", host=None)
    assert sent(request, "/", authority="pod:80")[0] == (b"Host", b"b")


def test_framing_and_upgrade_are_ours_and_extra_fields_come_last() -> None:
    assert sent(head(b"content-LENGTH: 3", b"A: 1"))[1] == (b"content-LENGTH", b"3")
    assert sent(head(b"Transfer-Encoding: Chunked", b"A: 1"))[-1] == (b"Transfer-Encoding", b"chunked")
    request = head(b"Connection: Upgrade", b"Upgrade: WebSocket, h2c", b"HTTP2-Settings: x")
    assert sent(request)[2:] == ADDED
    extra = ((b"X-Splicer-Fallback-From", b"pod-1"),)
    assert sent(request, protocol="websocket", extra=extra)[-3:] == [
        *extra,
        (b"Connection", b"upgrade"),
        (b"Upgrade", b"websocket"),
    ]


NAMES = st.from_regex(r"\A[-!#$%&'*+.^_`|~0-9A-Za-z]{1,12}\Z").map(str.encode) | st.sampled_from(
    [
        b"Connection",
        b"X-Forwarded-For",
        b"x-real-ip",
        b"Upgrade",
        b"TE",
        b"X-Splicer-A",
        b"Keep-Alive",
        b"Cookie",
        b"X-Original-URI",
    ]
)
VALUES = st.from_regex(rb"\A[\x21-\x7e\x80-\xff]{0,12}\Z") | st.sampled_from([b"close", b"host, cookie", b"upgrade"])
FRAMING = st.sampled_from([[], [b"Content-Length: 0"], [b"Content-Length: 12"], [b"Transfer-Encoding: chunked"]])
OURS = {name.lower() for name, _ in ASSERTED}


@given(st.lists(st.tuples(NAMES, VALUES)), FRAMING, st.sampled_from([None, "websocket"]), st.booleans())
def test_a_pod_reads_what_was_written_and_one_framing(
    fields: list[tuple[bytes, bytes]], framing: list[bytes], protocol: str | None, old: bool
) -> None:
    fields = [item for item in fields if item[0].lower() not in {b"host", b"content-length", b"transfer-encoding"}]
    if old and framing == [b"Transfer-Encoding: chunked"]:
        framing = []
    start = b"POST /a HTTP/1.0" if old else b"POST /a HTTP/1.1"
    request = head(*(name + b": " + value for name, value in fields), *framing, start=start)
    wire = request_for_pod(request, "/t?u", forwarding=FORWARDING, protocol=protocol)

    again, pod = parse_request(wire, limit=65536)
    assert pod.trailing_data[0] == b""
    assert (again.target, again.version, again.host) == ("/t?u", "1.1", "a")
    assert (again.content_length, again.chunked) == (request.content_length, request.chunked)
    assert len(again.values(b"content-length")) + len(again.values(b"transfer-encoding")) == len(framing)
    assert again.values(b"upgrade") == ([b"websocket"] if protocol else [])
    assert again.values(b"via")[-1] == (b"1.0 splicer" if old else b"1.1 splicer")
    for name, value in ASSERTED:
        assert again.values(name.lower()) == [value]
    end_to_end = [item for item in forwarded_headers(request.headers) if not item[0].lower().startswith(b"x-splicer-")]
    came = [(name, value) for name, value in end_to_end if name.lower() not in OURS and not aliased(name)]
    left = OURS | {b"connection", b"upgrade", b"transfer-encoding"}
    rest = [item for item in again.headers if item[0].lower() not in left]
    rest.remove((b"Via", again.values(b"via")[-1]))
    rest.remove((b"X-Original-URI", b"/a"))
    assert rest == came
    assert isinstance(pod.next_event(), h11.EndOfMessage) or request.has_body


def aliased(name: bytes) -> bool:
    dashed = name.lower().replace(b"_", b"-")
    others = OURS | {b"forwarded", b"x-original-url", b"x-rewrite-url", b"x-original-uri"}
    return dashed in others or dashed.startswith((b"x-splicer-", b"x-forwarded-"))


@pytest.mark.parametrize(
    ("name", "asserted"),
    [
        *((name, True) for name in (b"Host", b"via", b"X-Forwarded-Foo", b"x_real_ip", b"X-Request-ID", b"Forwarded")),
        *((name, True) for name in (b"X-Splicer-A", b"X-Original-URI", b"X-Original-URL", b"X-Rewrite-URL")),
        *((name, False) for name in (b"Cookie", b"X-User", b"X-Forward", b"Content-Type", b"X-Original-Method")),
    ],
)
def test_what_only_the_edge_says(name: bytes, asserted: bool) -> None:
    assert is_asserted(name) is asserted
