"""The calls of the guide, through the repository's own routing.toml."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlsplit

import pytest
import trio

from tests.e2e.guide import HOST, Cluster
from tests.kit.calls import call, handshake
from tests.kit.edge import Edge
from tests.kit.http import Message
from tests.kit.pods import echo, ok, switching
from tests.kit.wire import Wire, dial

CALLBACK = "agent/voice/breeze-buddy/twilio/callback/order-confirmation/v2"
STEERING = [
    "10.96.0.10:8000%3f",
    "10.96.0.10",
    "10.96.0.10:8000",
    "x.y",
    "voice-agent-1.other",
    "voice-agent-1%2Eother",
    "-a",
    "a-",
    "VOICE-AGENT-1",
    "Voice-agent-1",
    "%61",
    "voice-agent-1%23",
    "voice-agent-1%2F",
    "voice-agent-1%40evil.example",
    "user@evil.example",
    "a_b",
    "a" * 64,
    "[::1]",
    "localhost.",
    "voice-agent-1:80",
    "*",
    "{pod}",
    "$pod",
    "a,b",
    "0x7f000001.",
]


@pytest.fixture
def edge(edge_of_the_guide: Edge) -> Edge:
    return edge_of_the_guide


@pytest.fixture
async def cluster(edge: Edge, nursery: trio.Nursery) -> Cluster:
    return await Cluster.start(edge.site, nursery)


async def test_each_call_reaches_the_pod_that_its_url_names(edge: Edge, cluster: Cluster) -> None:
    pods = [await cluster.agent_calls(n) for n in range(5)]
    for n, pod in enumerate(pods):
        async with call(edge, f"/ws/pod/voice-agent-{n}/a/b", host=HOST) as provider:
            await provider.send_message(f"call {n}")
            assert await provider.get_message() == f"call {n}"
        assert [seen.target for seen in pod.seen] == [b"/a/b"]
        assert pod.seen[0].values("x-splicer-fallback-from") == []


async def test_a_call_of_twilio_from_its_webhook_to_its_stop(edge: Edge, cluster: Cluster) -> None:
    address = f"wss://{HOST}/ws/pod/voice-agent-2/{CALLBACK}"
    await cluster.router(lambda _: ok(json.dumps({"url": address}).encode(), b"Content-Type: application/json"))
    await cluster.agent_calls(2)
    async with dial(edge.address) as wire:
        form = b"CallSid=CA1&From=%2B1"
        await wire.send(f"POST /{CALLBACK} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(form)}\r\n\r\n".encode())
        await wire.send(form)
        url = urlsplit(json.loads((await wire.reply("POST")).body)["url"])
    frame = base64.b64encode(bytes(160)).decode()
    script = [
        {"event": "connected", "protocol": "Call"},
        {"event": "start", "start": {"streamSid": "MZ1", "callSid": "CA1"}},
        *({"event": "media", "media": {"chunk": str(n), "payload": frame}} for n in range(50)),
        {"event": "mark", "mark": {"name": "end"}},
        {"event": "stop"},
    ]
    async with call(edge, url.path, host=url.netloc) as provider:
        for message in script:
            await provider.send_message(json.dumps(message))
            assert json.loads(await provider.get_message()) == message
    line = await edge.line("tunnel_close", pod="voice-agent-2", path=url.path)
    assert line["route"] == "pod-websocket"
    assert line["closed_by"] in ("client", "pod")
    assert line["bytes_to_pod"] > 50 * 160 < line["bytes_to_client"]


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("/ws/pod/voice-agent-1/exotel?sample-rate=8000&custom=a%26b", b"/exotel?sample-rate=8000&custom=a%26b"),
        ("/ws/pod/voice-agent-1/a%2Fb%20c?x=%20", b"/a%2Fb%20c?x=%20"),
        ("/ws/pod/voice-agent-1/?", b"/?"),
        ("/ws/pod/voice-agent-1/x?a=1?b=/../c", b"/x?a=1?b=/../c"),
        ("/ws/pod/voice-agent-1//double//slash/", b"//double//slash/"),
        ("/ws/pod/voice-agent-1/%E0%A4%A8%e0?q=%zz", b"/%E0%A4%A8%e0?q=%zz"),
        ("/ws/pod/voice-agent-1/a;b=c,d/~!$&'()*+:@", b"/a;b=c,d/~!$&'()*+:@"),
    ],
)  # fmt: skip
async def test_path_and_query_arrive_byte_for_byte(edge: Edge, cluster: Cluster, asked: str, got: bytes) -> None:
    pod = await cluster.agent_tunnels(1)
    async with dial(edge.address) as wire:
        await wire.send(handshake(asked, host=HOST))
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
    assert pod.seen[0].line == f"GET {got.decode()} HTTP/1.1"


@pytest.mark.parametrize("name", STEERING)
async def test_no_url_steers_to_anything_but_a_pod(edge: Edge, cluster: Cluster, name: str) -> None:
    application = await cluster.application()
    asked = cluster.dns.count()
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/pod/{name}/x", host=HOST))
        assert (await wire.reply()).status == 404
    line = await edge.line("exchange", status=404)
    assert (line["route"], line["reason"]) == ("pod-websocket", "bad_capture")
    assert cluster.dns.count() == asked
    assert application.connections == 0


@pytest.mark.parametrize("name", ["%00", "..", "%2e%2e", ".", "a%5cb", "a%0d%0aX:1", "%zz"])
async def test_what_no_path_may_hold_is_refused(edge: Edge, cluster: Cluster, name: str) -> None:
    application = await cluster.application()
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/pod/{name}/x", host=HOST))
        assert (await wire.reply()).status == 400
    assert application.connections == 0


async def test_the_fallback_is_told_all_that_the_pod_would_have_been(edge: Edge, cluster: Cluster) -> None:
    heads: list[bytes] = []

    async def refuse(wire: Wire) -> None:
        heads.append(await wire.head())
        await wire.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")

    async def serve(wire: Wire) -> None:
        heads.append(await wire.head())
        await wire.send(switching(heads[-1]))
        await echo(wire)

    await cluster.agent_raw(3, refuse)
    await cluster.agent_raw(4, serve)
    cluster.dns.set("voice-agent.voice-system.svc.cluster.local", cluster.address(3), cluster.address(4))
    async with dial(edge.address) as wire:
        target = "/ws/pod/voice-agent-3/a%20b?token=%2B1"
        fields = ("X-Provider: Exotel", "Sec-WebSocket-Protocol: audio", "Cookie: a=b", "X-Splicer-Fallback-From: me")
        await wire.send(handshake(target, *fields, host=HOST))
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
    first, second = map(Message, heads)
    assert second.line == first.line == "GET /a%20b?token=%2B1 HTTP/1.1"
    own = ("X-Splicer-Fallback-From", "voice-agent-3")
    assert sorted(second.fields) == sorted([*first.fields, own])
    for name in ("X-Forwarded-For", "X-Real-IP"):
        assert second.values(name) == [b"127.0.0.1"]
    assert second.values("X-Forwarded-Host") == second.values("Host") == [HOST.encode()]
    assert second.values("X-Forwarded-Proto") == [b"http"]


async def test_any_ready_pod_takes_the_calls_of_one_that_is_down(edge: Edge, cluster: Cluster) -> None:
    pods = {n: await cluster.agent_calls(n) for n in (0, 2)}
    for n in range(8):
        async with call(edge, f"/ws/pod/voice-agent-1/call/{n}", host=HOST) as provider:
            await provider.send_message("still here")
            assert await provider.get_message() == "still here"
    seen = [message for pod in pods.values() for message in pod.seen]
    assert len(seen) == 8
    assert all(message.values("x-splicer-fallback-from") == [b"voice-agent-1"] for message in seen)


async def test_a_pod_without_a_name_is_taken_for_by_any_other(edge: Edge, cluster: Cluster) -> None:
    pod = await cluster.agent_calls(0)
    async with call(edge, "/ws/pod/voice-agent-77/x?y", host=HOST) as provider:
        await provider.send_message("hello")
        assert await provider.get_message() == "hello"
    assert pod.seen[0].values("x-splicer-fallback-from") == [b"voice-agent-77"]
    assert pod.seen[0].target == b"/x?y"
    line = await edge.line("tunnel_close", path="/ws/pod/voice-agent-77/x")
    assert [attempt["failure"] for attempt in line["attempts"]] == ["name_not_found", None]


async def test_the_log_tells_the_path_as_received_and_no_query(edge: Edge, cluster: Cluster) -> None:
    await cluster.agent_tunnels(1)
    async with dial(edge.address) as wire:
        await wire.send(handshake("/ws/pod/voice-agent-1/a%2Fb%20c?token=secret", host=HOST))
        await wire.head()
        await edge.line("tunnel_open", path="/ws/pod/voice-agent-1/a%2Fb%20c")
    await edge.line("tunnel_close", path="/ws/pod/voice-agent-1/a%2Fb%20c")
    assert "secret" not in json.dumps(edge.lines)
