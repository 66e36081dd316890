"""What a connection refuses: requests that no route takes, and what is no request."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.session.edge import HEALTH, Edge, route
from tests.session.message import GET, get, read_answer

REFUSALS = [
    (get("/none"), 404, "no_route"),
    (get("/api", method="DELETE"), 405, "method_not_allowed"),
    (get("/private"), 403, "client_not_allowed"),
]


@pytest.mark.parametrize(("raw", "status", "reason"), REFUSALS)
async def test_a_refusal_whose_framing_is_certain_keeps_the_connection(
    edge: Edge, raw: bytes, status: int, reason: str
) -> None:
    edge.use(
        route("path", "/api", methods=("GET", "PUT")),
        route("path", "/private", clients=(ip_network("10.0.0.0/8"),)),
        HEALTH,
    )
    client = await edge.ask(raw)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (status, None)
    assert told.body.startswith(str(status).encode())
    assert told.get("Allow") == ("GET, PUT, HEAD" if status == 405 else None)
    assert (edge.record.status, edge.record.closer, edge.record.close_reason) == (status, "proxy", reason)
    assert edge.record.detail
    await client.send(get("/health"))
    assert (await read_answer(client)).status == 200


@pytest.mark.parametrize(("raw", "status", "_"), REFUSALS)
async def test_a_refusal_before_a_body_ends_the_connection(edge: Edge, raw: bytes, status: int, _: str) -> None:
    edge.use(route("path", "/api", methods=("GET",)), route("path", "/private", clients=()), HEALTH)
    client = await edge.ask(raw[:-2] + b"Content-Length: 34\r\n\r\n" + get("/health"))
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (status, "close")
    await client.send(b"more")
    assert await client.rest() == b""
    assert len(edge.told.ended) == 1


@pytest.mark.parametrize("raw", [get("/none", version="1.0"), get("/none", "Connection: close")])
async def test_a_refusal_to_who_wants_no_more_ends_the_connection(edge: Edge, raw: bytes) -> None:
    edge.use(HEALTH)
    client = await edge.ask(raw)
    assert (await read_answer(client)).get("Connection") == "close"
    assert await client.rest() == b""
    assert edge.streams[0].ended == "close"


async def test_a_refused_head_gets_no_body(edge: Edge) -> None:
    edge.use(HEALTH)
    client = await edge.ask(get("/none", method="HEAD") + get("/health"))
    assert (await read_answer(client, "HEAD")).status == 404
    assert (await read_answer(client)).status == 200


MALFORMED = [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET /../etc HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /%2e%2e/etc HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
    (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"x" * 40_000, 414),
    (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 8_000 + b"\r\n", 431),
    (b"\r\n" * 20 + GET, 400),
]


@pytest.mark.parametrize(("raw", "status"), MALFORMED)
async def test_what_is_no_request_is_answered_and_the_connection_ends(edge: Edge, raw: bytes, status: int) -> None:
    client = await edge.ask(raw + b"x" * 1000)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (status, "close")
    assert (told.get("Allow") is not None) is (status == 405)
    await client.send(b"x" * 1000)  # lingering: no reset takes the answer away
    assert await client.rest() == b""
    assert (edge.record.status, edge.dialled) == (status, [])
    assert edge.told.times == [0]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", ("CONNECT", "a:443", 405)),
        (b"TRACE /x?secret HTTP/1.1\r\nHost: a\r\n\r\n", ("TRACE", "/x", 405)),
        (b"GET /../etc?secret HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\n", ("GET", "/../etc", 400)),
        (b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", ("GET", "/x", 400)),
        (b"GET /\xff\x01 HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", r"/\xff\x01", 400)),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 200 + b"\r\n", ("PUT", "/x", 431)),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000, ("PUT", "/x", 431)),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\n folded", ("PUT", "/x", 400)),
        (b"GET /x HTTP/1.1\r\nHost: a\r\n", ("GET", "/x", 408)),
        (b"GET /x", (None, None, 408)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", (None, None, 400)),
    ],
)
async def test_the_record_of_a_refused_head_has_its_request_line(
    edge: Edge, raw: bytes, told: tuple[str | None, str | None, int]
) -> None:
    client = await edge.ask(raw)
    assert (await read_answer(client)).status == told[2]
    assert (edge.record.method, edge.record.path, edge.record.status) == told
    assert edge.record.query is None
