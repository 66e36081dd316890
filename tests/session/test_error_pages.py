"""Bodies of the file's own, by status: for refusals, and for pods' errors."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from splicer.config.edits import HEADERS
from splicer.config.error_pages import ErrorPage
from splicer.edits import Edits
from splicer.errors import ConnectRefused
from splicer.model import Respond
from tests.kit.http import Message
from tests.session.authorizers import call, site
from tests.session.edge import APP, SPARE, Edge, answering, fallback_route, route
from tests.session.message import GET, OK, SWITCHING, UPGRADE, answer, chunks, get, read_answer, request

PAGE = ErrorPage((400, 404, 405, 413, 426, 502, 503, 504), b'{"error":1}', "application/json")


def check(told: Message, status: int, method: str = "GET") -> None:
    assert told.status == status
    assert told.values("Content-Type") == [b"application/json"]
    assert told.values("Content-Length") == [b"11"]
    assert told.body == (b"" if method == "HEAD" else b'{"error":1}')


REFUSALS: list[tuple[dict[str, Any], bytes, int]] = [
    ({}, GET, 502),
    ({}, GET.replace(b"GET", b"HEAD"), 502),
    ({"upgrade": ("websocket",)}, UPGRADE, 502),
    ({"kind": "path", "text": "/x"}, get("/none"), 404),
    ({"kind": "path", "text": "/x"}, get("/none", method="HEAD"), 404),
    ({"kind": "path", "text": "/x"}, UPGRADE.replace(b"/ws", b"/none"), 404),
    ({"methods": ("PUT",)}, GET, 405),
    ({"upgrade": ("websocket",), "upgrade_only": True}, GET, 426),
    ({"body_bytes": 1}, request("PUT", "Content-Length: 2"), 413),
    ({}, b"GET /\r\n\r\n", 400),
]


@pytest.mark.parametrize(("more", "raw", "status"), REFUSALS)
async def test_a_refusal_has_the_body_of_its_status(edge: Edge, more: dict[str, Any], raw: bytes, status: int) -> None:
    edge.use(route(**more), errors=(PAGE,))
    edge.pods[APP] = ConnectRefused("no")
    method = "HEAD" if raw.startswith(b"HEAD") else "GET"
    told = await read_answer(await edge.ask(raw), method)
    check(told, status, method)
    assert told.values("Allow") == ([b"PUT"] if status == 405 else [])
    assert edge.record.close_reason != "complete"


@pytest.mark.parametrize("raw", [GET, UPGRADE])
async def test_during_a_drain(edge: Edge, raw: bytes) -> None:
    edge.use(route(upgrade=("websocket",)), errors=(PAGE,))
    edge.context.draining = True
    told = await read_answer(await edge.ask(raw))
    check(told, 503)
    assert told.get("Retry-After") == "1"


async def test_in_place_of_a_101(edge: Edge) -> None:
    edge.use(route(upgrade=("websocket",)), errors=(PAGE,))
    edge.pods[APP] = answering(SWITCHING)
    edge.starved = OSError(errno.EMFILE, "no pipe")
    check(await read_answer(await edge.ask(UPGRADE)), 503)


async def test_a_status_without_a_body_of_its_own_keeps_the_usual_one(edge: Edge) -> None:
    edge.use(route(), errors=(ErrorPage((503,), b"x"),))
    edge.pods[APP] = ConnectRefused("no")
    assert (await read_answer(await edge.ask(GET))).body == b"502 Bad Gateway\n"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_pods_error_has_it_too_and_the_connection_goes_on(edge: Edge, method: str, chunked: bool) -> None:
    fields = ("Retry-After: 7", "Content-Encoding: gzip", "ETag: x", "Server: pod", "Content-Type: text/html")
    raw = answer(b"" if method == "HEAD" else b"theirs", "503 Full", *fields)
    if chunked:
        raw = "\r\n".join(("HTTP/1.1 503 Full", *fields, "Transfer-Encoding: chunked", "", "")).encode()
        raw += b"" if method == "HEAD" else chunks(b"theirs", b"X: y\r\n")
    edits = Edits(response=HEADERS.parse({"X-Edge": "{client}"}))
    edge.use(route(edits=edits), errors=(PAGE,))
    edge.pods[APP] = answering(raw)
    client = await edge.ask(get("/x", method=method) * 2)
    for _ in range(2):
        told = await read_answer(client, method)
        check(told, 503, method)
        assert (told.line, told.get("Retry-After"), told.get("X-Edge")) == ("HTTP/1.1 503 Full", "7", "192.0.2.7")
        assert [told.values(name) for name in ("Content-Encoding", "ETag", "Server", "Connection")] == [[]] * 4
    assert edge.told.ended[0].status == 503
    assert edge.told.ended[0].to_client == (0 if method == "HEAD" else 11)
    assert (edge.told.ended[0].closer, edge.told.ended[0].close_reason) == ("pod", "complete")
    assert [stream.ended for stream in edge.streams[1:]] == ["close"] * 2


async def test_an_answer_to_an_upgrade_too(edge: Edge) -> None:
    edge.use(route(upgrade=("websocket",)), errors=(PAGE,))
    edge.pods[APP] = answering(answer(b"theirs", "503 Full"))
    told = await read_answer(await edge.ask(UPGRADE))
    check(told, 503)
    assert told.get("Connection") == "close"


async def test_an_old_client_gets_it_with_a_length(edge: Edge) -> None:
    edge.use(route(), errors=(PAGE,))
    edge.pods[APP] = answering(b"HTTP/1.1 502 Bad\r\n\r\ntheirs", close=True, times=1)
    client = await edge.ask(get("/x", version="1.0"))
    check(await read_answer(client), 502)
    assert await client.rest() == b""


@pytest.mark.parametrize(
    ("spare", "status", "body"), [(OK, 200, b"ok"), (answer(b"theirs", "502 Bad"), 502, PAGE.body)]
)
async def test_the_fallback_comes_first(edge: Edge, spare: bytes, status: int, body: bytes) -> None:
    edge.use(fallback_route(), errors=(PAGE,))
    edge.pods |= {APP: answering(answer(b"theirs", "503 Full")), SPARE: answering(spare)}
    told = await read_answer(await edge.ask(GET))
    assert (told.status, told.body) == (status, body)


async def test_what_is_nobodys_error_is_left_alone(edge: Edge) -> None:
    busy = Respond(503, b"busy\n")
    edge.use(route("path", "/own", respond=busy), route(), errors=(PAGE, ErrorPage((403,), b"x")))
    edge.pods[APP] = answering(answer(b"theirs", "404 None"))
    assert (await read_answer(await edge.ask(GET))).body == b"theirs"
    assert (await read_answer(await edge.ask(get("/own")))).body == b"busy\n"


async def test_an_authorizers_refusal_is_its_own(edge: Edge) -> None:
    site(edge, answering(answer(b"no", "403 No")))
    edge.use(call(), errors=(ErrorPage((403, 503), b"x"),))
    assert (await read_answer(await edge.ask(GET))).body == b"no"
    site(edge, answering(answer(b"no", "500 No")))
    edge.use(call(), errors=(ErrorPage((403, 503), b"x"),))
    told = await read_answer(await edge.ask(GET))
    assert (told.status, told.body) == (503, b"x")
