from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.admin.dispatch import Page, Request, Table, in_json
from splicer.model import Respond
from tests.admin.served import Served, serving, to_the_end

_AUTOJUMP_THRESHOLD = 0.05  # real seconds in which nothing happens, after which the clock jumps
KIB = 1024


async def _echo(asked: Request) -> Respond:
    return in_json({"body": asked.body, "query": asked.query})


TABLE: Table = {"/echo": {"POST": Page(_echo, frozenset({"a"}), frozenset({"pod", "x"})), "GET": Page(_echo)}}


def _post(body: bytes, *more: bytes, length: int | None = None) -> bytes:
    fields = [b"Host: localhost", b"Content-Length: %d" % (len(body) if length is None else length), *more]
    return b"POST /echo HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n" + body


def _chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + end


LAST = b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def _bodies(data: bytes) -> list[Any]:
    """What the answers of one connection say, in order."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        [length] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
        found.append(json.loads(rest[:length]))
        data = rest[length:]
    return found


async def _talk(served: Served, *parts: bytes) -> bytes:
    async with await served.connect() as stream:
        for part in parts:
            await stream.send_all(part)
            await trio.testing.wait_all_tasks_blocked()
        return await to_the_end(stream)


@pytest.mark.parametrize(
    "request_bytes",
    [
        _post(b'{"pod": "a"}'),
        _post(b' {"pod"\n:"a"}\r\n'),
        _post(b'{"pod": "a"}', b"Content-Type: text/plain"),
        _chunked(b'{"pod": "a"}'),
        _chunked(b'{"po', b'd": "', b'a"}'),
        _chunked(b'{"pod": "a"}', end=b"0\r\nTrailer: x\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("size", [10_000, 7, 1])
async def test_a_body_is_read_however_it_comes_and_the_connection_serves_on(request_bytes: bytes, size: int) -> None:
    data = request_bytes * 2 + LAST
    async with serving(TABLE) as served:
        parts = [data[start : start + size] for start in range(0, len(data), size)]
        answers = _bodies(await _talk(served, *parts))
        assert [answer["body"] for answer in answers] == [{"pod": "a"}, {"pod": "a"}, None]
        assert served.logged() == []


@pytest.mark.parametrize("empty", [_post(b""), _chunked(), _post(b" \r\n"), LAST.replace(b"GET", b"POST")])
async def test_an_empty_body_is_none(empty: bytes) -> None:
    async with serving(TABLE) as served:
        assert _bodies(await _talk(served, empty + LAST))[0] == {"body": None, "query": {}}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"pod-1", "the body is no JSON: Expecting value"),
        (b"{", "the body is no JSON: Expecting property name"),
        (b'{"pod": "\xff"}', "the body is no JSON: 'utf-8' codec can't decode"),
        (b'{"pod": "a", "pod": "b"}', "the body is no JSON: a key is there twice"),
        (b"[" * 30000, "the body is nested too deep"),
        (b'{"x": ' + b"9" * 5000 + b"}", "the body is no JSON: Exceeds the limit"),
        (b'["pod"]', "the body is no JSON object"),
        (b'"pod"', "the body is no JSON object"),
        (b"null", "the body is no JSON object"),
        (b'{"pod": "a", "pods": "b", "": 1}', "unknown key 'pods', ''; known are: pod, x"),
    ],
)
async def test_what_is_no_object_with_known_keys_is_a_bad_request(body: bytes, error: str) -> None:
    async with serving(TABLE) as served:
        data = await _talk(served, _post(body) + LAST)
        assert data.startswith(b"HTTP/1.1 400 ")
        told, _ = _bodies(data)  # it was read whole: the connection serves on
        assert told["error"].startswith(error)
        assert "\n" not in told["error"]
        assert served.logged() == []


async def test_a_body_may_have_64_kib() -> None:
    body = b'{"x": "' + b"y" * (64 * KIB - 9) + b'"}'
    async with serving(TABLE) as served:
        for request in (_post(body), _chunked(body[:40000], body[40000:])):
            assert _bodies(await _talk(served, request + LAST))[0]["body"] == json.loads(body)


@pytest.mark.parametrize(
    "request_bytes",
    [
        _post(b"", length=64 * KIB + 1),
        _post(b"", length=10**18),
        _chunked(b"x" * (64 * KIB + 1), end=b""),
        _chunked(*[b"x" * KIB] * 65, end=b""),
    ],
)
async def test_more_is_not_read(request_bytes: bytes) -> None:
    async with serving(TABLE) as served:
        data = await _talk(served, request_bytes + LAST)
        assert data.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nConnection: close\r\n" in data
        assert _bodies(data) == [{"error": "the body has more than 65536 bytes"}]


@pytest.mark.parametrize("framing", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
async def test_a_body_where_none_is_wanted(framing: bytes) -> None:
    async with serving(TABLE) as served:
        data = await _talk(served, b"GET /echo HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n" + LAST)
        assert data.startswith(b"HTTP/1.1 413 ")
        assert _bodies(data) == [{"error": "a body where none is wanted"}]


# Whatever is answered before it, a body that was not read is never taken for a request.
@pytest.mark.parametrize(
    ("target", "more", "status"),
    [
        (b"/nothing", b"", 404),
        (b"/echo?b", b"", 400),
        (b"/echo", b"\r\nOrigin: http://evil.example", 403),
    ],
)
async def test_a_body_that_is_not_read_ends_the_connection(target: bytes, more: bytes, status: int) -> None:
    request = _post(LAST).replace(
        b"/echo HTTP/1.1\r\nHost: localhost", target + b" HTTP/1.1\r\nHost: localhost" + more, 1
    )
    async with serving(TABLE) as served:
        data = await _talk(served, request)
        assert data.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nConnection: close\r\n" in data
        assert len(_bodies(data)) == 1


@pytest.mark.parametrize("end", [b"zz\r\n", b"5\r\nabc\r\n\r\n\r\n"])
async def test_chunks_that_are_none(end: bytes) -> None:
    async with serving(TABLE) as served:
        data = await _talk(served, _chunked(b"{", end=end) + LAST)
        assert data.startswith(b"HTTP/1.1 400 ")
        assert _bodies(data)[0]["error"].startswith("chunked body: ")
        assert len(_bodies(data)) == 1


async def test_a_body_that_trickles_in_has_no_more_time(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with serving(TABLE) as served, await served.connect() as stream:
        await stream.send_all(_post(b'{"pod"', length=100))
        for _ in range(8):
            await trio.sleep(1)
            await stream.send_all(b" ")
        data = await to_the_end(stream)
        assert data.startswith(b"HTTP/1.1 408 ")
        assert _bodies(data) == [{"error": "the body did not come within 10 s"}]
        assert trio.current_time() == pytest.approx(10)


async def test_who_leaves_in_the_middle_of_its_body_is_no_error() -> None:
    async with serving(TABLE) as served:
        async with await served.connect() as stream:
            await stream.send_all(_post(b"{", length=100))
            await trio.testing.wait_all_tasks_blocked()
            await stream.send_eof()
            assert await to_the_end(stream) == b""
        assert served.logged() == []


async def test_who_waits_for_a_100_gets_one() -> None:
    async with serving(TABLE) as served, await served.connect() as stream:
        body = b'{"pod": "a"}'
        await stream.send_all(_post(b"", b"Expect: 100-continue", length=len(body)))
        assert await stream.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await stream.send_all(body + LAST)
        assert _bodies(await to_the_end(stream))[0]["body"] == {"pod": "a"}


async def test_a_query_is_decoded() -> None:
    async with serving(TABLE) as served:
        request = _post(b"").replace(b"/echo", b"/echo?a=b%20c&a=d+e&a=&a", 1)
        assert _bodies(await _talk(served, request + LAST))[0]["query"] == {"a": ["b c", "d e", "", ""]}


# However many requests come on one connection, and wherever the packets end, each has its answer.
@given(st.lists(st.tuples(st.booleans(), st.text(max_size=30)), max_size=5), st.lists(st.integers(1, 400), max_size=8))
def test_requests_never_run_into_each_other(requests: list[tuple[bool, str]], cuts: list[int]) -> None:
    bodies = [json.dumps({"pod": text}).encode() for _, text in requests]
    data = b"".join(
        _chunked(body[:5], body[5:]) if chunked else _post(body)
        for (chunked, _), body in zip(requests, bodies, strict=True)
    )
    data += LAST
    parts = []
    for cut in cuts:
        parts.append(data[:cut])
        data = data[cut:]

    async def run() -> None:
        async with serving(TABLE) as served:
            answers = _bodies(await _talk(served, *parts, data))
            assert [answer["body"] for answer in answers] == [*({"pod": text} for _, text in requests), None]

    trio.run(run)
