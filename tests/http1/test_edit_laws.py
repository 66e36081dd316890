"""The laws of edits: whatever the file sets and a request holds, framing, handshake and assertions stay the edge's."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.config.edits import HEADERS
from splicer.edits import FieldEdits, HeaderEdits, RequestFacts, same_field
from splicer.http1.forwarded import Forwarding
from splicer.http1.headers import request_for_pod
from splicer.http1.request import parse_request
from splicer.http1.upgrade import serialize_101, verify_upgrade
from splicer.http1.writer import ResponseWriter, simple_response
from splicer.model import Headers, RequestHead, ResponseHead
from tests.kit.laws import examples

KEPT = {
    *(b"connection", b"keep-alive", b"te", b"upgrade", b"content-length", b"transfer-encoding", b"trailer", b"expect"),
    *(b"host", b"via", b"x-real-ip", b"x-request-id", b"x-original-uri"),
}
FAMILIES = (b"sec-websocket-", b"x-forwarded-", b"x-splicer-")

own = st.sampled_from([name.decode() for name in sorted(KEPT)] + [f"{family.decode()}a" for family in FAMILIES])
spelt = own | own.map(str.upper) | own.map(lambda name: name.replace("-", "_"))
names = st.sampled_from(["X-A", "x_a", "Server", "Cookie", "Set-Cookie", "Content-Type"]) | spelt
parts = st.sampled_from(["a", "chunked", "{{", "{rest}", "{host}", "{target}", "{header:X}", "{query}", "{client}"])
values = st.sampled_from([False, "chunked", "7"]) | st.lists(parts, min_size=1, max_size=4).map(" ".join) | st.text()
anything = st.text(max_size=9) | st.text(st.sampled_from("\r\n\0 :a"), max_size=9)


@st.composite
def edits(draw: st.DrawFn) -> HeaderEdits | None:
    """What the file's parser takes of anything."""
    taken: dict[str, Any] = {}
    for name, value in draw(st.dictionaries(names, values, min_size=2, max_size=5)).items():
        try:
            HEADERS.parse(taken | {name: value})
        except (ValueError, ExceptionGroup):
            continue
        taken[name] = value
    parsed: HeaderEdits | None = HEADERS.parse(taken)
    return parsed


@st.composite
def rendered(draw: st.DrawFn) -> FieldEdits | None:
    facts = RequestFacts(
        captures={"rest": draw(anything)},
        host=draw(anything),
        client=draw(anything),
        scheme=draw(st.sampled_from(["http", "https"])),
        path=draw(anything),
        query=draw(st.none() | anything),
        request_id="id",
        headers=((b"X", draw(st.binary(max_size=9))),),
    )
    made = draw(edits())
    return None if made is None else made.render(facts)


def kept(fields: Headers) -> list[tuple[bytes, bytes]]:
    """The fields that no edit may touch, as a pod that takes "_" for "-" reads them."""
    return [
        (name, value)
        for name, value in ((same_field(name), value) for name, value in fields)
        if name in KEPT or name.startswith(FAMILIES)
    ]


def lines(wire: bytes) -> list[tuple[bytes, bytes]]:
    head, blank, _ = wire.partition(b"\r\n\r\n")
    assert blank
    assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")
    assert b"\0" not in head
    pairs = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    return [(name, value) for name, _, value in pairs]


FRAMED = st.sampled_from([b"", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"])
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
FORWARDING = Forwarding("1.2.3.4", "1.2.3.4", "https", "a", "id-1")


def head(more: bytes = b"", method: bytes = b"POST") -> RequestHead:
    raw = method + b" /a HTTP/1.1\r\nHost: a\r\nX-A: theirs\r\nCookie: c\r\n" + more + b"\r\n"
    return parse_request(raw, limit=65536)[0]


@settings(max_examples=examples(300))
@given(rendered(), FRAMED, st.booleans())
def test_no_edit_changes_what_a_pod_takes_from_the_edge(
    changes: FieldEdits | None, framing: bytes, upgrade: bool
) -> None:
    request = head(WEBSOCKET, b"GET") if upgrade else head(framing)
    protocol = "websocket" if upgrade else None
    plain = request_for_pod(request, "/t", forwarding=FORWARDING, protocol=protocol)
    wire = request_for_pod(request, "/t", forwarding=FORWARDING, protocol=protocol, edits=changes)
    again, _ = parse_request(wire, limit=65536)
    assert (again.content_length, again.chunked, again.host) == (request.content_length, request.chunked, "a")
    assert kept(tuple(lines(wire))) == kept(tuple(lines(plain)))


@settings(max_examples=examples(300))
@given(rendered(), st.sampled_from([200, 204, 304, 426, 502]), st.booleans(), st.booleans())
def test_no_edit_changes_how_an_answer_is_framed(
    changes: FieldEdits | None, status: int, sized: bool, close: bool
) -> None:
    headers: Headers = ((b"Server", b"pod"), (b"Set-Cookie", b"a"), (b"Upgrade", b"x"))
    if sized:
        headers += ((b"Content-Length", b"3"),)

    def written(with_: FieldEdits | None) -> bytes:
        request, server = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", limit=4096)
        return ResponseWriter(server, request).head(status, b"Fine", headers, close=close, edits=with_)

    assert kept(tuple(lines(written(changes)))) == kept(tuple(lines(written(None))))


@settings(max_examples=examples(300))
@given(rendered(), st.sampled_from([200, 204, 426, 503]), st.booleans(), st.booleans())
def test_no_edit_changes_how_an_own_answer_is_framed(
    changes: FieldEdits | None, status: int, head_only: bool, close: bool
) -> None:
    extra: Headers = ((b"Connection", b"Upgrade"), (b"Upgrade", b"tcp"), (b"Sec-WebSocket-Version", b"13"))

    def written(with_: FieldEdits | None) -> bytes:
        return simple_response(status, b"x", "a/b", extra, head_only=head_only, close=close, edits=with_)

    wire, plain = written(changes), written(None)
    assert kept(tuple(lines(wire))) == kept(tuple(lines(plain)))
    assert wire.partition(b"\r\n\r\n")[2] == plain.partition(b"\r\n\r\n")[2]


@settings(max_examples=examples(300))
@given(rendered())
def test_a_101_still_opens_its_tunnel(changes: FieldEdits | None) -> None:
    answer = ResponseHead(
        101,
        b"Switching",
        "1.1",
        (
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            (b"Sec-WebSocket-Protocol", b"audio"),
            (b"Server", b"pod"),
        ),
    )
    wire = serialize_101(answer, changes)
    fields = tuple(lines(wire))
    verify_upgrade(head(WEBSOCKET, b"GET"), ResponseHead(101, b"", "1.1", fields), "websocket")
    assert kept(fields) == kept(tuple(lines(serialize_101(answer))))
