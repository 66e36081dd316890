"""A route whose authorizer places each call, with real processes: what it says, and what its death costs."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.pods import http_pod, ok, raw_pod, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, ask, dial

ROUTES = """
[upstreams.placer]
address = "{net}.241:{port}"
[upstreams.spare]
address = "{net}.242:{port}"
[[routes]]
name = "strict"
prefix = "/strict/"
upstream = "pod"
authorize = {{ upstream = "placer", path = "/place", captures = {{ pod = "X-Pod" }}, headers = ["X-User"] }}
deadlines = {{ authorize = "500ms" }}
[[routes]]
name = "placed"
prefix = "/placed/"
upgrade = ["websocket"]
upstream = "pod"
fallback = "spare"

    [routes.authorize]
    upstream = "placer"
    path = "/place"
    captures = {{ pod = "X-Pod" }}
    on_failure = "fallback"
"""
CALLS, AT_ONCE = 500, 50


def config(site: Site) -> str:
    return site.toml(ROUTES.format(net=site.net, port=site.port))


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(config(site), site) as edge:
        yield edge


async def test_a_request_goes_where_the_authorizer_says(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    placed = ok(b"ignored", b"X-Pod: " + place.name.encode(), b"X-User: alice")
    placer = await http_pod(nursery, f"{edge.site.net}.241", edge.site.port, placed)
    pod = await http_pod(nursery, place.address, place.port)
    reply = await ask(edge.address, "POST", "/strict/x?y=1", "Cookie: a=b", "X-User: root", body=b"hello")
    assert (reply.status, reply.body) == (200, place.address.encode())
    [question], [seen] = placer.seen, pod.seen
    assert question.line == "GET /place HTTP/1.1"
    assert (question.get("X-Original-Method"), question.get("X-Original-URI")) == ("POST", "/strict/x?y=1")
    assert (question.get("Cookie"), question.body) == ("a=b", b"")
    assert (seen.body, seen.values("X-User")) == (b"hello", [b"alice"])
    request_id = seen.get("X-Request-ID")
    assert request_id is not None
    assert question.get("X-Request-ID") == request_id
    line = await edge.line("exchange", id=request_id)
    assert (line["authorize_status"], line["authorize_endpoint"]) == (200, f"{edge.site.net}.241:{edge.site.port}")
    assert line["authorize_ms"] > 0
    assert "authorize_failure" not in line
    placer.stop()


async def test_a_refusal_is_the_answer_and_silence_ends_in_time(edge: Edge, nursery: trio.Nursery) -> None:
    async def refuse_two(wire: Wire) -> None:
        await wire.request()
        if placer.connections > 2:
            await trio.sleep_forever()
        await wire.send(ok(b"who?", b"WWW-Authenticate: Basic", status=b"401 Unauthorized"))

    placer = await raw_pod(nursery, f"{edge.site.net}.241", edge.site.port, refuse_two)
    async with dial(edge.address) as wire:
        for _ in range(2):
            await wire.send(b"GET /strict/ HTTP/1.1\r\nHost: edge.test\r\n\r\n")
            reply = await wire.reply()
            assert (reply.status, reply.body, reply.get("WWW-Authenticate")) == (401, b"who?", "Basic")
    assert (await ask(edge.address, "GET", "/strict/")).status == 504
    line = await edge.line("exchange", reason="authorize_deadline")
    assert (line["status"], line["authorize_failure"], line["closed_by"]) == (504, "authorize_deadline", "proxy")
    placer.stop()


@contextmanager
def placer_process(edge: Edge, names: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """An authorizer in a process of its own."""
    words = [sys.executable, "-m", "tests.e2e.placer", f"{edge.site.net}.241", str(edge.site.port), "0.05", *names]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
async def test_an_authorizer_that_is_killed_under_calls_loses_none(edge: Edge, nursery: trio.Nursery) -> None:
    places = [edge.site.take() for _ in range(3)]
    pods = [await tunnel_pod(nursery, place.address, place.port) for place in places]
    spare = await tunnel_pod(nursery, f"{edge.site.net}.242", edge.site.port)
    limit, heard = trio.CapacityLimiter(AT_ONCE), Counter[bytes]()

    # Trio starts the tasks in any order: the half of the calls is told by their count, not by their numbers.
    async def call(number: int) -> None:
        async with limit, tunnel(edge, f"/placed/{number}") as wire:
            word = b"call %d" % number
            await wire.send(word)
            assert await wire.exactly(len(word)) == word
            heard[word] += 1
            if len(heard) == CALLS // 2:
                process.kill()

    with placer_process(edge, [place.name for place in places]) as process:
        async with trio.open_nursery() as calls:
            for number in range(CALLS):
                calls.start_soon(call, number)
    assert sorted(heard.values()) == [1] * CALLS
    placed = [pod.connections for pod in pods]
    assert sum(placed) + spare.connections == CALLS, "each has come to one pod, and once"
    assert min(placed) > 0
    assert spare.connections > 0
