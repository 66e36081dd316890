"""What a route changes in the messages that pass, in every answer that a client may get of it."""

from __future__ import annotations

import errno
from ipaddress import ip_network
from typing import Any

import pytest
from attrs import evolve

from splicer.config.edits import HEADERS, HOST
from splicer.config.redirect import REDIRECT
from splicer.edits import Edits, HeaderEdits
from splicer.errors import BadRequest, ConnectRefused
from splicer.http1.forwarded import Forwarding
from splicer.http1.request import parse_request
from splicer.model import Match, Respond, Route
from splicer.session.edits import RouteEdits, facts_of
from tests.kit.http import Message
from tests.session import edge as rig
from tests.session.authorizers import PLACED, call, site
from tests.session.edge import APP, SPARE, SPARE_UPSTREAM, Edge, answering
from tests.session.message import GET, OK, SWITCHING, UPGRADE, answer, chunks, get, read_answer, request
from tests.session.pods import noting
from tests.session.wire import Peer

NAMES = "{client} {host} {scheme} {target} {path} {query} {header:X-A}"


def headers(**entries: str | bool) -> HeaderEdits | None:
    parsed: HeaderEdits | None = HEADERS.parse({name.replace("_", "-"): value for name, value in entries.items()})
    return parsed


def route(*args: Any, host: str | None = None, to_pod: Any = None, to_client: Any = None, **more: Any) -> Route:
    edits = Edits(HOST.parse(host) if host else None, headers(**to_pod or {}), headers(**to_client or {}))
    return rig.route(*args, edits=edits, **more)


async def test_a_pod_gets_what_the_route_says(edge: Edge) -> None:
    requests: list[Message] = []
    edge.use(route("regex", "^/(?<pod>[^/]+)", host="{pod}.app.test:81",
                   to_pod={"X_Pod": "{pod}", "X_All": NAMES, "Cookie": False, "X_ID": "{request_id}"}))  # fmt: skip
    edge.pods[APP] = noting(requests)
    client = await edge.ask(get("/v-1/%41%3aX:y?a=b", "Cookie: c", "X_Pod: mine", "X-A: 1", "x-pod: mine"))
    assert (await read_answer(client)).status == 200
    (seen,) = requests
    assert seen.values("Host") == [b"v-1.app.test:81"]
    assert seen.values("X-Forwarded-Host") == [b"edge.test"]
    assert seen.values("X-Pod") == [b"v-1"]
    assert seen.values("X_Pod") == seen.values("Cookie") == []
    target = b"/v-1/%41%3aX:y?a=b"
    assert seen.values("X-All") == [b"192.0.2.7 edge.test http " + target + b" /v-1/%41%3aX:y a=b 1"]
    assert seen.get("X-ID") == seen.get("X-Request-ID") == edge.record.id


async def test_a_fallback_gets_it_too(edge: Edge) -> None:
    requests: list[Message] = []
    edge.use(route(host="app.test", to_pod={"X_Team": "voice"}, fallback=SPARE_UPSTREAM))
    edge.pods |= {APP: ConnectRefused("no"), SPARE: noting(requests)}
    await read_answer(await edge.ask(GET))
    assert (requests[0].get("Host"), requests[0].get("X-Team")) == ("app.test", "voice")


async def test_no_trailer_brings_back_what_was_removed(edge: Edge) -> None:
    requests: list[Message] = []
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"ok", b"Server: pod\r\nX-Sum: 2\r\n")
    edge.use(route(to_pod={"X_Team": "voice"}, to_client={"Server": False}))
    edge.pods[APP] = noting(requests, reply)
    body = chunks(b"body", b"x_team: mine\r\nX-Sum: 1\r\n")
    told = await read_answer(await edge.ask(request("PUT", "Transfer-Encoding: chunked", body=body)))
    assert requests[0].trailers.lower() == b"x-sum: 1\r\n"
    assert told.trailers.lower() == b"x-sum: 2\r\n"


@pytest.mark.parametrize("bad", ["a@b", "a:1", "a|b", "["])
async def test_a_capture_that_makes_no_host_is_a_bad_request(edge: Edge, bad: str) -> None:
    edge.use(route("regex", "^/(?<pod>[^/]+)", host="{pod}.app.test", to_client={"X_Edge": "1"}))
    client = await edge.ask(get(f"/{bad}"))
    told = await read_answer(client)
    assert (told.status, told.get("X-Edge")) == (400, "1")
    assert edge.dialled == []


AUTHORIZED = Edits(
    HOST.parse("{pod}.app.test"),
    headers(X_Who="{pod} {header:X-User}", X_None="{header:Cookie}"),
    headers(X_Pod="{pod}"),
)


async def test_values_have_what_the_authorizer_has_given(edge: Edge) -> None:
    heard = site(edge, answering(PLACED), call(edits=AUTHORIZED))
    told = await read_answer(await edge.ask(get("/x", "X-User: root")))
    assert (told.status, told.get("X-Pod")) == (200, "voice-3")
    assert (heard[0].get("Host"), heard[0].get("X-Who")) == ("voice-3.app.test", "voice-3 alice")
    assert heard[0].get("X-None") is None


async def test_a_refusal_of_the_authorizer_is_changed_without_a_capture(edge: Edge) -> None:
    refused = answer(b"no", "403 No", "Server: auth", "X-Pod: theirs")
    edits = evolve(AUTHORIZED, response=headers(X_Pod="{pod}", X_Edge="{client}", Server=False))
    site(edge, answering(refused), call(edits=edits))
    told = await read_answer(await edge.ask(GET))
    check(told)
    assert (told.status, told.get("X-Pod")) == (403, None)


EDITED: dict[str, str | bool] = {"X_Edge": "{client}", "Server": False, "Strict_Transport_Security": "max-age=1"}


def made(host: str | None, **entries: str) -> RouteEdits:
    raw = b"GET http://A.Test.:81/p?q HTTP/1.1\r\nHost: b\r\nX: 1\r\n\r\n"
    head, _ = parse_request(raw, limit=4096)
    origin = Forwarding("1.2.3.4", "x", "https", "outer", "id-1")
    facts = facts_of(Match(rig.route(), {"pod": "p"}), head, origin)
    return RouteEdits(Edits(HOST.parse(host) if host else None, headers(**entries), None), facts)


def test_the_facts_of_a_request() -> None:
    edits = made(None, Y="{pod} {host} {client} {scheme} {path} {query} {target} {request_id} {header:X}")
    fields = edits.request()
    assert fields is not None
    assert fields.added == ((b"Y", b"p a.test 1.2.3.4 https /p q /p?q id-1 1"),)
    assert (edits.host(), edits.answer()) == ("", None)


@pytest.mark.parametrize("pod", ["", "a b", "a/b", "a,", "a@b", "a\r\nb", "é"])
def test_what_is_no_host(pod: str) -> None:
    edits = made("{pod}" if pod in ("", "é") else "{pod}.a:80")
    edits.facts = evolve(edits.facts, captures={"pod": pod})
    with pytest.raises(BadRequest, match="the route's host would be"):
        edits.host()


def check(told: Message) -> None:
    assert told.values("X-Edge") == [b"192.0.2.7"]
    assert told.values("Server") == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_pods_answer_is_changed(edge: Edge, method: str) -> None:
    edge.use(route(to_client=EDITED))
    edge.pods[APP] = answering(answer(b"" if method == "HEAD" else b"ok", "200 OK", "Server: pod", "X-Edge: pod's"))
    told = await read_answer(await edge.ask(get("/", method=method)), method)
    check(told)
    assert told.values("Strict-Transport-Security") == []


async def test_informational_answers_are_not(edge: Edge) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nServer: pod\r\n\r\n"
    edge.use(route(to_client=EDITED))
    edge.pods[APP] = answering(early + OK)
    client = await edge.ask(GET)
    assert await client.until(b"\r\n\r\n") == early
    check(await read_answer(client))


@pytest.mark.parametrize(("scheme", "sent"), [("https", [b"max-age=1"]), ("http", [])])
async def test_only_https_gets_strict_transport_security(edge: Edge, scheme: str, sent: list[bytes]) -> None:
    trusted = (ip_network("192.0.2.0/24"),)
    edge.use(route(to_client=EDITED), trusted=trusted)
    edge.pods[APP] = answering(OK)
    told = await read_answer(await edge.ask(get("/", f"X-Forwarded-Proto: {scheme}")))
    assert told.values("Strict-Transport-Security") == sent


async def test_a_101_is_changed_and_its_bytes_are_not(edge: Edge) -> None:
    edge.use(route(upgrade=("websocket",), to_client=EDITED))

    async def pod(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.send(SWITCHING.replace(b"\r\n\r\n", b"\r\nServer: pod\r\nSec-WebSocket-Protocol: a\r\n\r\n") + b"hi")
        await peer.send(await peer.exactly(4))

    edge.pods[APP] = pod
    client = await edge.ask(UPGRADE + b"mine")
    told = Message(await client.until(b"\r\n\r\n"))
    check(told)
    assert (told.status, told.get("Sec-WebSocket-Protocol")) == (101, "a")
    assert told.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert await client.exactly(6) == b"himine"


REFUSALS: list[tuple[dict[str, Any], bytes, int]] = [
    ({}, GET, 502),
    ({}, GET.replace(b"GET", b"HEAD"), 502),
    ({"upgrade": ("websocket",)}, UPGRADE, 502),
    ({"upgrade": ("websocket",), "upgrade_only": True}, GET, 426),
    ({"body_bytes": 1}, request("PUT", "Content-Length: 2"), 413),
    ({"clients": (ip_network("10.0.0.0/8"),)}, GET, 403),
    ({"upstream": None, "respond": Respond(200, b"ok", headers=((b"Server", b"x"),))}, GET, 200),
]


@pytest.mark.parametrize(("more", "raw", "status"), REFUSALS)
async def test_an_own_answer_is_changed(edge: Edge, more: dict[str, Any], raw: bytes, status: int) -> None:
    edge.use(route(to_client=EDITED, **more))
    edge.pods[APP] = ConnectRefused("no")
    told = await read_answer(await edge.ask(raw), "HEAD" if raw.startswith(b"HEAD") else "GET")
    assert told.status == status
    check(told)


async def test_a_refusal_in_place_of_a_101_is_changed(edge: Edge) -> None:
    edge.use(route(upgrade=("websocket",), to_client=EDITED))
    edge.pods[APP] = answering(SWITCHING)
    edge.starved = OSError(errno.EMFILE, "no pipe")
    told = await read_answer(await edge.ask(UPGRADE))
    assert told.status == 503
    check(told)


@pytest.mark.parametrize(
    ("raw", "status"), [(b"GET / HTTP/1.1\r\n\r\n", 400), (get("/none"), 404), (get("/x", method="PUT"), 405)]
)
async def test_an_answer_before_a_route_is_known_is_not_changed(edge: Edge, raw: bytes, status: int) -> None:
    edge.use(route("path", "/x", methods=("GET",), to_client=EDITED))
    told = await read_answer(await edge.ask(raw))
    assert (told.status, told.values("X-Edge")) == (status, [])


async def test_no_request_is_changed_by_the_edits_of_the_one_before(edge: Edge) -> None:
    edge.use(route("path", "/x", to_client=EDITED), rig.route("path", "/y"))
    edge.pods[APP] = answering(OK)
    client = await edge.ask(GET + get("/y") + get("/z"))
    assert [(await read_answer(client)).values("X-Edge") for _ in range(3)] == [[b"192.0.2.7"], [], []]


def redirecting(to: str, status: int = 302, **more: Any) -> Route:
    return route("regex", "^/(?<rest>.*)", redirect=REDIRECT.parse({"to": to, "status": status}), **more)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_redirect(edge: Edge, method: str, status: int) -> None:
    edge.use(redirecting("https://{host}/to/{rest}?{query}", status, to_client=EDITED))
    client = await edge.ask(get("/a%25b?c=d", method=method) + get("//evil.test", method=method))
    told = await read_answer(client, method)
    assert (told.status, told.get("Location")) == (status, "https://edge.test/to/a%25b?c=d")
    assert told.body == (b"" if method == "HEAD" else f"{told.line.removeprefix('HTTP/1.1 ')}\n".encode())
    check(told)
    assert (await read_answer(client, method)).get("Location") == "https://edge.test/to/evil.test"
    assert [(record.status, record.close_reason) for record in edge.told.ended] == [(status, "complete")] * 2


async def test_a_redirect_within_the_host_stays_there(edge: Edge) -> None:
    edge.use(redirecting("/{rest}"))
    client = await edge.ask(get("/%2f/evil.test") + get("///evil.test"))
    assert (await read_answer(client)).get("Location") == "/%2f/evil.test"
    assert (await read_answer(client)).get("Location") == "/evil.test"


async def test_a_redirect_asks_for_its_clients_first_and_leads_to_no_odd_host(edge: Edge) -> None:
    only = redirecting("https://{host}/", to_client=EDITED)
    edge.use(only)
    told = await read_answer(await edge.ask(b"GET / HTTP/1.1\r\nHost: a%2f.test\r\n\r\n"))
    assert told.status == 400
    check(told)
    edge.use(evolve(only, clients=(ip_network("10.0.0.0/8"),)))
    assert (await read_answer(await edge.ask(GET))).status == 403
