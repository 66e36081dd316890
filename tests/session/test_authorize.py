"""An authorizer is asked, and chooses the pod or refuses the request."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
import trio

from splicer.errors import ConnectRefused
from tests.kit.http import Message, read_request
from tests.session.authorizers import AUTH, PLACED, beginning, call, plain, rule, site
from tests.session.edge import APP, CLIENT, Edge, answering, upstream
from tests.session.message import GET, POST, SWITCHING, UPGRADE, answer, get, read_answer
from tests.session.pods import noting
from tests.session.wire import Peer

# ---- what is asked ----


async def test_what_the_authorizer_is_asked(edge: Edge) -> None:
    asked: list[Message] = []
    heard = site(edge, noting(asked, PLACED))
    edge.pods[APP] = answering(SWITCHING)
    fields = (
        "Cookie: a=b\r\nAuthorization: Bearer x\r\nX-User: root\r\nX-Original-URI: /forged\r\n"
        "x_original_method: PUT\r\n"
        "X-Forwarded-For: 6.6.6.6\r\nX-Request-ID: forged\r\nX-Splicer-Fallback-From: y\r\nIf-None-Match: *\r\n"
        "Sec-WebSocket-Protocol: a\r\nContent-Language: de\r\nExpect: 200-ok\r\nConnection: X-Secret\r\nX-Secret: 1\r\n"
    )
    client = await edge.ask(
        UPGRADE.replace(b"/ws ", b"/ws/a%20b?c=d ").replace(b"Connection:", fields.encode() + b"Connection:")
    )
    assert (await read_answer(client)).status == 101
    [question] = asked
    record = edge.told.opened[0]
    assert question.line == "GET /place HTTP/1.1"
    assert question.fields == [
        ("Host", "edge.test"),
        ("Cookie", "a=b"),
        ("Authorization", "Bearer x"),
        ("X-User", "root"),
        ("X-Forwarded-For", CLIENT),
        ("X-Request-ID", record.id),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "edge.test"),
        ("X-Real-IP", CLIENT),
        ("Via", "1.1 splicer"),
        ("X-Original-URI", "/ws/a%20b?c=d"),
        ("X-Original-Method", "GET"),
        ("Connection", "close"),
    ]
    assert (question.body, heard) == (b"", [])
    client.end.close()


async def test_a_body_stays_with_the_client_until_the_answer(edge: Edge) -> None:
    asked: list[Message] = []
    heard = site(edge, noting(asked, PLACED))
    assert (await read_answer(await edge.ask(POST))).status == 200
    assert (asked[0].get("Content-Length"), asked[0].get("X-Original-Method"), asked[0].body) == (None, "POST", b"")
    assert (heard[0].line, heard[0].body) == ("POST /x HTTP/1.1", b"body")


@pytest.mark.parametrize(
    ("send", "sent"), [(("Cookie",), {"cookie"}), ((), set()), (("cookie", "X-USER"), {"cookie", "x-user"})]
)
async def test_only_what_the_route_names_goes_along(edge: Edge, send: tuple[str, ...], sent: set[str]) -> None:
    asked: list[Message] = []
    site(edge, noting(asked, PLACED), call(rule(send=send)))
    await read_answer(await edge.ask(get("/x", "Cookie: a", "X-User: b", "X-More: c")))
    names = {name.lower() for name, _ in asked[0].fields}
    assert names & {"cookie", "x-user", "x-more"} == sent
    assert {"host", "x-real-ip", "x-original-uri"} <= names


@pytest.mark.parametrize("target", ["http://edge.test/x?y", "/place"])
async def test_the_target_is_told_as_a_path(edge: Edge, target: str) -> None:
    asked: list[Message] = []
    site(edge, noting(asked, PLACED))
    await read_answer(await edge.ask(get(target)))
    assert asked[0].get("X-Original-URI") == target.removeprefix("http://edge.test")


async def test_a_client_of_http_1_0_has_no_host_to_pass_on(edge: Edge) -> None:
    asked: list[Message] = []
    site(edge, noting(asked, PLACED))
    await read_answer(await edge.ask(b"GET /x HTTP/1.0\r\n\r\n"))
    assert asked[0].get("Host") == "auth.test:8000"


# ---- it goes on ----


@pytest.mark.parametrize("status", ["200 OK", "204 No", "299 Fine"])
async def test_the_answer_chooses_the_pod_and_says_who_it_is(edge: Edge, status: str) -> None:
    heard = site(edge, answering(b"HTTP/1.1 103 Early\r\n\r\n" + PLACED.replace(b"200 OK", status.encode())))
    told = await read_answer(await edge.ask(get("/x", "X-User: root", "x_user: root", "X-Other: 1")))
    assert told.status == 200
    assert heard[0].values("X-User") == [b"alice"]
    assert heard[0].values("x_user") == []
    assert heard[0].get("X-Other") == "1"
    record = edge.record
    assert record.target == "voice-3.pods.test:8000/x"
    assert record.authorize is not None
    assert (record.authorize.status, record.authorize.failure) == (int(status[:3]), None)
    assert (record.authorize.endpoint, record.close_reason) == (f"{AUTH}:8000", "complete")
    assert [attempt.upstream for attempt in record.attempts] == ["pod"]


async def test_what_the_client_nominates_takes_nothing_away(edge: Edge) -> None:
    heard = site(edge, answering(PLACED))
    await read_answer(await edge.ask(get("/x", "Connection: X-User")))
    assert heard[0].get("X-User") == "alice"


async def test_a_capture_can_be_a_part_of_the_path(edge: Edge) -> None:
    heard = site(edge, answering(PLACED), call(rewrite="/{pod}/y"))
    await read_answer(await edge.ask(GET))
    assert heard[0].line == "GET /voice-3/y HTTP/1.1"
    assert heard[0].get("X-Original-URI") == "/x"


async def test_a_named_pod_that_is_down_leads_to_the_fallback(edge: Edge) -> None:
    heard = site(edge, answering(PLACED))
    edge.pods[APP] = ConnectRefused("no")
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert heard[0].get("X-Splicer-Fallback-From") == "voice-3"
    assert heard[0].get("X-User") == "alice"


async def test_an_address_outside_allow_is_never_dialled(edge: Edge) -> None:
    site(
        edge, answering(PLACED), call(upstream=upstream("pod", "{pod}.pods.test", allow=(ip_network("172.16.0.0/12"),)))
    )
    assert (await read_answer(await edge.ask(GET))).status == 502
    assert edge.record.close_reason == "address_not_allowed"
    assert edge.dialled == [AUTH]


async def test_each_request_is_asked_about_on_a_connection_of_its_own(edge: Edge) -> None:
    site(edge, answering(PLACED))
    client = await edge.ask(GET)
    await read_answer(client)
    await client.send(GET)
    await read_answer(client)
    assert edge.dialled == [AUTH, APP, AUTH]


async def test_a_body_of_a_good_answer_is_not_waited_for(edge: Edge) -> None:
    async def endless(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(b"HTTP/1.1 200 OK\r\nX-Pod: voice-3\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await pod.send(b"5\r\nhello\r\n")
            await trio.sleep(0.1)

    site(edge, endless)
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert trio.current_time() == 0


# ---- it is refused ----


REFUSALS = ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent", "401 Unauthorized", "403 Forbidden",
            "404 Not Found", "429 Too Many"]  # fmt: skip
FIELDS = ("WWW-Authenticate: Basic", "Location: /login", "Set-Cookie: a=b", "Retry-After: 7", "Content-Type: text/x")


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("raw", [GET, POST, UPGRADE, GET.replace(b"GET", b"HEAD")])
async def test_the_authorizers_refusal_is_the_answer(edge: Edge, status: str, raw: bytes) -> None:
    method = raw.partition(b" ")[0].decode()
    site(edge, answering(answer(b"go away", status, *FIELDS, "Connection: X-Inner", "X-Inner: 1", "Keep-Alive: 5")))
    client = await edge.ask(raw)
    told = await read_answer(client, method)
    assert told.line == f"HTTP/1.1 {status}"
    assert told.body == (b"" if method == "HEAD" else b"go away")
    for field in FIELDS:
        name, _, value = field.partition(": ")
        assert told.get(name) == value
    assert told.get("Content-Length") == "7"
    assert told.get("X-Inner") is told.get("Keep-Alive") is None
    assert edge.dialled == [AUTH]
    record = edge.record
    assert (record.status, record.closer, record.close_reason) == (int(status[:3]), "proxy", "authorize_denied")
    assert record.attempts == []
    assert record.authorize is not None
    assert (record.authorize.status, record.authorize.failure) == (int(status[:3]), "authorize_denied")
    goes_on = raw not in (POST, UPGRADE)
    assert told.get("Connection") == (None if goes_on else "close")
    if goes_on:
        await client.send(raw)
        assert (await read_answer(client, method)).line == f"HTTP/1.1 {status}"


@pytest.mark.parametrize(
    ("body", "close", "seconds"),
    [
        (b"Content-Length: 65537\r\n\r\n" + b"x" * 65_537, False, 0),
        (b"\r\n" + b"x" * 70_000, False, 0),
        (b"Content-Length: 10\r\n\r\nhalf", True, 0),
        (b"Content-Length: 10\r\n\r\nhalf", False, 2),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", False, 0),
        (b"\r\nunto the end", False, 2),
    ],
)
@pytest.mark.parametrize("on_failure", ["refuse", "fallback", "allow"])
async def test_a_refusal_stands_without_its_body(
    edge: Edge, body: bytes, close: bool, seconds: float, on_failure: Any
) -> None:
    site(edge, beginning(b"HTTP/1.1 401 No", body, close=close), plain(on_failure=on_failure))
    told = await read_answer(await edge.ask(GET))
    assert (told.status, told.body, told.get("Content-Type")) == (401, b"", None)
    assert (told.get("Content-Length"), told.get("WWW-Authenticate")) == ("0", "Basic")
    assert trio.current_time() == pytest.approx(seconds)
    assert edge.dialled == [AUTH]


async def test_the_longest_body(edge: Edge) -> None:
    site(edge, answering(answer(b"x" * 65_536, "403 No")))
    assert (await read_answer(await edge.ask(GET))).body == b"x" * 65_536


async def test_a_full_route_asks_for_no_place(edge: Edge) -> None:
    site(edge, answering(PLACED), call(max_tunnels=1))
    edge.pods[APP] = answering(SWITCHING)
    client = await edge.ask(UPGRADE)
    assert (await read_answer(client)).status == 101
    assert (await read_answer(await edge.ask(UPGRADE))).status == 503
    assert edge.record.close_reason == "route_full"
    assert edge.dialled == [AUTH, APP]
    client.end.close()


@pytest.mark.parametrize("said", ["401 No", "500 Oh"])
async def test_a_refused_call_gives_its_place_back(edge: Edge, said: str) -> None:
    site(edge, answering(answer(b"", said)), call(max_tunnels=1))
    for _ in range(2):
        assert (await read_answer(await edge.ask(UPGRADE))).status in {401, 503}
    assert [record.close_reason for record in edge.told.ended] in (["authorize_denied"] * 2, ["authorize_failed"] * 2)
