"""What goes on to the other side, and what is said there of this one."""

from __future__ import annotations

import pytest
import trio

from tests.kit.edge import Edge
from tests.kit.http import Message
from tests.kit.pods import http_pod, ok
from tests.kit.wire import ask, dial, request


@pytest.fixture
def edge(plain_edge: Edge) -> Edge:
    return plain_edge


async def test_what_belongs_to_one_connection_stays_there(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(
        nursery,
        place.address,
        place.port,
        ok(b"", b"Connection: X-Mine", b"X-Mine: 1", b"Keep-Alive: timeout=9", b"A: b"),
    )
    reply = await ask(
        edge.address,
        "GET",
        f"/http/{place.name}/",
        "Connection: X-Hop, keep-alive, Host, X-Forwarded-For",
        "X-Hop: secret",
        "Keep-Alive: 300",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Upgrade: h2c",
        "X-Splicer-Fallback-From: forged",
        "X-Forwarded-For: 9.9.9.9",
        "X-Real-IP: 9.9.9.9",
        "X-Stays: 1",
    )
    names = {name.lower() for name, _ in pod.seen[0].fields}
    told = {"x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "x-request-id"}
    assert names == {"host", "x-stays", "via", "x-original-uri", *told}
    assert pod.seen[0].values("x-forwarded-for") == pod.seen[0].values("x-real-ip") == [b"127.0.0.1"]
    assert {name.lower() for name, _ in reply.fields} >= {"a", "content-length"}
    assert not {name.lower() for name, _ in reply.fields} & {"x-mine", "keep-alive", "via"}


@pytest.mark.parametrize("source", ["127.0.0.8", "127.0.0.9"])
async def test_a_pod_behind_a_rewrite_gets_the_target_that_was_called(
    edge: Edge, nursery: trio.Nursery, source: str
) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    target = f"/http/{place.name}//x%2Fy?a=%20&b"
    await ask(edge.address, "GET", target, "X-Original-URI: /mine", "X_Original_URI: /mine", source=source)
    assert pod.seen[0].target == b"//x%2Fy?a=%20&b"
    assert [field for field in pod.seen[0].fields if "riginal" in field[0]] == [("X-Original-URI", target)]


@pytest.mark.parametrize(
    ("sent", "real", "forwarded"),
    [
        ([], "127.0.0.9", "127.0.0.9"),
        (["X-Forwarded-For: 8.8.8.8"], "8.8.8.8", "8.8.8.8, 127.0.0.9"),
        (["X-Forwarded-For: 6.6.6.6, 8.8.8.8"], "8.8.8.8", "6.6.6.6, 8.8.8.8, 127.0.0.9"),
        (["X-Forwarded-For: 8.8.8.8, 127.0.0.9"], "8.8.8.8", "8.8.8.8, 127.0.0.9, 127.0.0.9"),
        (["X-Forwarded-For: a", "X-Forwarded-For: 8.8.8.8"], "8.8.8.8", "a, 8.8.8.8, 127.0.0.9"),
        (["X-Forwarded-For: junk"], "127.0.0.9", "junk, 127.0.0.9"),
        (["X-Real-IP: 8.8.8.8"], "127.0.0.9", "127.0.0.9"),
    ],
)
async def test_trusted_proxies_are_believed_and_extended(
    edge: Edge, nursery: trio.Nursery, sent: list[str], real: str, forwarded: str
) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    for source in ("127.0.0.9", "127.0.0.8"):
        await ask(edge.address, "GET", f"/http/{place.name}/", *sent, source=source)
    believed, other = pod.seen
    assert _told(believed) == [real, forwarded, "http", "edge.test"]
    assert _told(other) == ["127.0.0.8", "127.0.0.8", "http", "edge.test"]
    await edge.line("exchange", path=f"/http/{place.name}/", client=real)


async def test_a_trusted_proxy_names_the_protocol_the_host_and_the_request(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    sent = ("X-Forwarded-Proto: https", "X-Forwarded-Host: outer", "X-Request-ID: from-outside-1")
    for source in ("127.0.0.9", "127.0.0.8"):
        await ask(edge.address, "GET", f"/http/{place.name}/", *sent, source=source)
    believed, other = pod.seen
    assert _told(believed) == ["127.0.0.9", "127.0.0.9", "https", "outer"]
    assert believed.values("x-request-id") == [b"from-outside-1"]
    assert _told(other) == ["127.0.0.8", "127.0.0.8", "http", "edge.test"]
    assert len(other.values("x-request-id")) == 1 != other.values("x-request-id").count(b"from-outside-1")


def _told(seen: Message) -> list[str]:
    names = ("X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
    return [b"|".join(seen.values(name)).decode() for name in names]


async def test_the_authority_of_an_absolute_target_counts(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"http://other.test:81/http/{place.name}/x?y", host="edge.test"))
        assert (await wire.reply()).status == 200
    assert pod.seen[0].line == "GET /x?y HTTP/1.1"
    assert pod.seen[0].values("Host") == [b"other.test:81"]
