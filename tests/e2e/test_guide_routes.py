"""Each route of the guide but the calls, through the repository's own routing.toml."""

from __future__ import annotations

import json
import re

import pytest
import trio

from tests.e2e.guide import HOST, Cluster
from tests.kit.calls import call, handshake
from tests.kit.edge import Edge
from tests.kit.wire import ask, dial

WEBHOOKS = [
    ("twilio/callback/order-confirmation/v2", "/api/v1/twilio/allocate"),
    ("plivo/callback/order-confirmation/v2", "/api/v1/plivo/allocate"),
    ("exotel/callback/x", "/api/v1/exotel/allocate"),
    ("allocate", "/api/v1/allocate"),
]


@pytest.fixture
def edge(edge_of_the_guide: Edge) -> Edge:
    return edge_of_the_guide


@pytest.fixture
async def cluster(edge: Edge, nursery: trio.Nursery) -> Cluster:
    return await Cluster.start(edge.site, nursery)


@pytest.mark.parametrize("host", ["10.1.2.3:8080", HOST, "nobody.example"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/health", b"healthy\n"),
        ("/ready", b"ready\n"),
        ("/nginx-health", b"healthy\n"),
        ("/nginx-ready", b"ready\n"),
    ],
)
async def test_probes_are_answered_for_any_host(edge: Edge, path: str, body: bytes, host: str) -> None:
    reply = await ask(edge.address, "GET", path, host=host)
    assert (reply.status, reply.body) == (200, body)


async def test_the_status_page_has_the_format_of_nginx(edge: Edge) -> None:
    reply = await ask(edge.address, "GET", "/nginx-status")
    assert reply.status == 200
    assert reply.values("Content-Type")[0].startswith(b"text/plain")
    assert re.fullmatch(
        rb"Active connections: \d+ \n"
        rb"server accepts handled requests\n"
        rb" \d+ \d+ \d+ \n"
        rb"Reading: \d+ Writing: \d+ Waiting: \d+ \n",
        reply.body,
    )


async def test_the_status_page_counts(edge: Edge) -> None:
    async def numbers() -> list[int]:
        return [int(word) for word in re.findall(rb"\d+", (await ask(edge.address, "GET", "/nginx-status")).body)]

    _, accepts, handled, requests, *_ = await numbers()
    async with dial(edge.address) as idle:
        for _ in range(2):
            await idle.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            await idle.reply()
        async with dial(edge.address) as reading:
            await reading.send(b"GET /heal")
            with trio.fail_after(5):
                while (now := await numbers())[4:] != [1, 1, 1]:
                    accepts += 1
                    handled += 1
                    requests += 1
            assert now[0] == 3
            assert now[1:4] == [accepts + 3, handled + 3, requests + 3]


async def test_the_status_page_is_not_for_everybody(edge: Edge) -> None:
    assert (await ask(edge.address, "GET", "/nginx-status", source="127.0.0.2")).status == 403
    faked = await ask(edge.address, "GET", "/nginx-status", "X-Forwarded-For: 10.0.0.1", source="127.0.0.2")
    assert faked.status == 403


async def test_probes_are_not_logged_and_the_rest_is(edge: Edge) -> None:
    probes = ("/health", "/ready", "/nginx-health", "/nginx-ready", "/nginx-status")
    for path in probes:
        await ask(edge.address, "GET", path)
    await ask(edge.address, "GET", "/something-else")
    await edge.line("exchange", path="/something-else")
    assert not [line for line in edge.lines if line.get("path") in probes]


@pytest.mark.parametrize("host", [HOST, "buddy.breezelabs.app", "Clairvoyance.BreezeLabs.app:443", HOST + "."])
async def test_the_api_goes_to_the_smart_router_with_its_path(edge: Edge, cluster: Cluster, host: str) -> None:
    router = await cluster.router(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    reply = await ask(edge.address, "GET", "/api/v1/pods/a%2Fb?state=%20free&n=", host=host)
    assert (reply.status, reply.body) == (200, b"{}")
    (seen,) = router.seen
    assert seen.line == "GET /api/v1/pods/a%2Fb?state=%20free&n= HTTP/1.1"
    assert seen.values("Host") == [host.encode()]
    assert seen.values("X-Forwarded-Host") == [host.encode()]
    assert seen.values("X-Forwarded-For") == seen.values("X-Real-IP") == [b"127.0.0.1"]
    assert seen.values("X-Forwarded-Proto") == [b"http"]
    assert len(seen.values("X-Request-ID")) == 1


@pytest.mark.parametrize(("path", "rewritten"), WEBHOOKS)
async def test_webhooks_are_rewritten_and_keep_their_query(
    edge: Edge, cluster: Cluster, path: str, rewritten: str
) -> None:
    twiml = b"<Response><Connect/></Response>"
    router = await cluster.router(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 31\r\n\r\n" + twiml)
    reply = await ask(
        edge.address,
        "POST",
        f"/agent/voice/breeze-buddy/{path}?template=v%202&to=%2B91",
        "Content-Type: application/x-www-form-urlencoded",
        host=HOST,
        body=b"CallSid=CA1&From=%2B1&To=%2B2",
    )
    assert (reply.status, reply.body, reply.values("content-type")) == (200, twiml, [b"text/xml"])
    (seen,) = router.seen
    assert seen.line == f"POST {rewritten}?template=v%202&to=%2B91 HTTP/1.1"
    assert seen.body == b"CallSid=CA1&From=%2B1&To=%2B2"
    assert seen.values("content-type") == [b"application/x-www-form-urlencoded"]


async def test_plain_http_to_one_pod(edge: Edge, cluster: Cluster) -> None:
    pods = [await cluster.agent(n) for n in range(5)]
    for n, pod in enumerate(pods):
        reply = await ask(edge.address, "GET", f"/voice-agent-{n}/debug/state%2F1?q=%20", host=HOST)
        assert (reply.status, reply.body) == (200, cluster.address(n).encode())
        assert [seen.target for seen in pod.seen] == [b"/debug/state%2F1?q=%20"]


async def test_everything_else_goes_to_the_application(edge: Edge, cluster: Cluster) -> None:
    application = await cluster.application()
    for path in ("/", "/index.html?a=b", "/voice-agent-x/y", "/agent/voice/breeze-buddy/twilio/callback"):
        assert (await ask(edge.address, "GET", path, host=HOST)).status == 200
        assert application.seen[-1].target == path.encode()


async def test_calls_of_a_browser_go_to_the_application(edge: Edge, cluster: Cluster) -> None:
    application = await cluster.application_calls()
    async with call(edge, "/browser/call?token=1", host=HOST) as browser:
        await browser.send_message("hello")
        assert await browser.get_message() == "hello"
    assert application.seen[0].target == b"/browser/call?token=1"
    assert application.seen[0].values("x-real-ip") == application.seen[0].values("x-forwarded-for") == [b"127.0.0.1"]


@pytest.mark.parametrize("path", ["/", "/api/v1/pods", "/voice-agent-1/x", "/agent/voice/breeze-buddy/allocate"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "x.clairvoyance.breezelabs.app"])
async def test_another_domain_is_unknown(edge: Edge, path: str, host: str) -> None:
    reply = await ask(edge.address, "GET", path, host=host)
    assert reply.status == 404
    assert json.loads(reply.body) == {"error": "unknown domain"}
    assert reply.values("content-type") == [b"application/json"]


async def test_a_call_to_another_domain_is_unknown(edge: Edge) -> None:
    async with dial(edge.address) as wire:
        await wire.send(handshake("/ws/pod/voice-agent-1/x", host="evil.example"))
        reply = await wire.reply()
    assert (reply.status, json.loads(reply.body)) == (404, {"error": "unknown domain"})
