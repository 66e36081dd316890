"""Traces from outside: spans at a collector, ids in the log and at pods, whatever happens to processes."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import trio

from tests.e2e.operator import address_of, kill_admin, observed, scrape
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import echoes, kill_worker_of, several
from tests.kit.otlp import CLIENT, INTERNAL, SERVER, Receiver, collector, refuse_for_now
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import TIMEOUT, ask, until

pytestmark = pytest.mark.slow
PROXY = "127.0.0.9"  # the one that the sites trust
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"traceparent: 00-{TRACE}-{SPAN}-01"


def section(url: str, **more: str) -> str:
    keys = {"endpoint": f'"{url}"', "sample": "1", **more}
    return "[tracing]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with collector() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def edge(receiver: Receiver) -> Iterator[Edge]:
    site = Site(pods=30)
    with running(observed(site, extra=section(receiver.url)), site) as edge:
        yield edge


def parent_of(message: object) -> str:
    [value] = message.values("traceparent")  # type: ignore[attr-defined]  # a Message
    return str(value.decode())


async def test_a_request_and_its_attempt_are_one_trace_with_the_pod(
    edge: Edge, receiver: Receiver, nursery: trio.Nursery
) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    path = f"/http/{place.name}/x"
    await ask(edge.address, "GET", path, SAMPLED, source=PROXY)
    [server] = await receiver.spans(1, kind=SERVER, url__path=path)
    [client] = await receiver.spans(1, kind=CLIENT, parent=server.span_id)
    assert (server.trace_id, server.parent) == (TRACE, SPAN)
    assert server.name == "GET /http/{pod}{rest}"
    assert parent_of(pod.seen[0]) == f"00-{TRACE}-{client.span_id}-01"
    line = await edge.line("exchange", path=path)
    assert (line["trace_id"], line["span_id"], line["trace_sampled"]) == (TRACE, server.span_id, True)
    assert client["network.peer.address"] == place.address
    assert client.events == ["connected"], "the address was in the file: nothing was resolved"


async def test_a_call_is_told_with_its_101_and_again_at_its_end(
    edge: Edge, receiver: Receiver, nursery: trio.Nursery
) -> None:
    place = edge.site.take()
    pod = await tunnel_pod(nursery, place.address, place.port)
    path = f"/ws/{place.name}/x"
    async with tunnel(edge, path, SAMPLED) as client:
        [server] = await receiver.spans(1, kind=SERVER, url__path=path)
        [attempt] = await receiver.spans(1, kind=CLIENT, parent=server.span_id)
        assert server.links == [(TRACE, SPAN)], "a stranger's trace is only linked"
        assert server.trace_id != TRACE
        assert parent_of(pod.seen[0]) == f"00-{server.trace_id}-{attempt.span_id}-01"
        assert attempt["http.response.status_code"] == server["http.response.status_code"] == 101
        assert not receiver.now(kind=INTERNAL, splicer__pod=place.name)
        await echoes(client, b"x" * 5000)
    [call] = await receiver.spans(1, kind=INTERNAL, splicer__pod=place.name)
    assert call.name == "tunnel ws"
    assert call.links == [(server.trace_id, server.span_id)]
    assert (call["splicer.bytes_to_pod"], call["splicer.bytes_to_client"]) == (5000, 5000)
    assert call.trace_id != server.trace_id
    assert call.raw.start_time_unix_nano == pytest.approx(server.raw.end_time_unix_nano, abs=50_000_000)


async def test_a_fallback_is_two_attempts(edge: Edge, receiver: Receiver, nursery: trio.Nursery) -> None:
    place = edge.site.take()  # nobody listens at its first address
    await http_pod(nursery, place.twin, place.port)
    path = f"/http2/{place.name}/x"
    assert (await ask(edge.address, "GET", path)).status == 200
    [server] = await receiver.spans(1, kind=SERVER, url__path=path)
    first, second = await receiver.spans(2, kind=CLIENT, parent=server.span_id)
    assert server["splicer.fallback"] is True
    assert (first["error.type"], first.failed, second.failed) == ("connect_refused", True, False)
    assert second["http.request.resend_count"] == 1
    assert (first["splicer.upstream"], second["splicer.upstream"]) == ("pod", "any")


async def test_spans_of_a_worker_that_is_killed_arrive_and_its_call_has_one_span(
    edge: Edge, receiver: Receiver, nursery: trio.Nursery
) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    path = f"/ws/{place.name}/x"
    async with tunnel(edge, path) as client:
        await trio.sleep(0.2)  # the worker tells within 50 ms
        for _ in range(3):
            await kill_worker_of(edge, client)
            await echoes(client, b"still there")
        [server] = await receiver.spans(1, kind=SERVER, url__path=path)
        await receiver.spans(1, kind=CLIENT, parent=server.span_id)
    closed = await edge.line("tunnel_close", path=path)
    assert closed["adopted"] == 3
    assert (closed["trace_id"], closed["span_id"]) == (server.trace_id, server.span_id)
    [call] = await receiver.spans(1, kind=INTERNAL, splicer__pod=place.name)
    assert call["splicer.adopted"] == 3
    assert call.links == [(server.trace_id, server.span_id)]


async def test_the_admin_process_is_killed_and_the_next_one_exports(
    edge: Edge, receiver: Receiver, nursery: trio.Nursery
) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/ws/{place.name}/x") as client:
        await kill_admin(edge)
        await edge.expected(1, "admin_died")
        await echoes(client, b"still there")

        async def asked() -> bool:
            await ask(edge.address, "GET", "/health")
            return bool(receiver.now(url__path="/health"))

        with trio.fail_after(TIMEOUT):
            while not await asked():  # noqa: ASYNC110 - see `until`
                await trio.sleep(0.2)
    assert (await scrape(edge)).total("spans_total", result="sent") > 0
    await receiver.spans(1, kind=INTERNAL, splicer__pod=place.name)


# ---- collectors that are none ----


@contextlib.contextmanager
def dead() -> Iterator[str]:
    with socket.socket() as bound:  # and it doesn't listen
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1/traces"


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"


@contextlib.contextmanager
def busy() -> Iterator[str]:
    with collector(refuse_for_now) as receiver:
        yield receiver.url


@contextlib.contextmanager
def closing() -> Iterator[str]:
    def close(handler: object, _: bytes) -> bool:
        handler.close_connection = True  # type: ignore[attr-defined]  # a BaseHTTPRequestHandler
        return True

    with collector(close) as receiver:
        yield receiver.url


@pytest.mark.parametrize("kind", [dead, hanging, busy, closing])
async def test_a_bad_collector_touches_no_call(
    kind: Callable[[], AbstractContextManager[str]], nursery: trio.Nursery
) -> None:
    site = Site(pods=2)
    with kind() as url, running(observed(site, 1, extra=section(url)), site) as edge:
        place = site.take()
        await http_pod(nursery, place.address, place.port)
        calls = site.take()
        await tunnel_pod(nursery, calls.address, calls.port)
        async with tunnel(edge, f"/ws/{calls.name}/x") as client:
            for number in range(200):
                assert (await ask(edge.address, "GET", f"/http/{place.name}/{number}")).status == 200
            await echoes(client, b"x" * 10_000)
            now = await scrape(edge)
            assert now.total("spans_total", result="sent") == 0
        assert not edge.find("observer_failed")
        edge.signal(signal.SIGINT)
        assert await edge.exit_code() == 0


async def test_at_the_end_the_last_spans_are_sent(nursery: trio.Nursery) -> None:
    site = Site(pods=1)
    with collector() as receiver, running(several(site, 1, extra=section(receiver.url)), site) as edge:
        place = site.take()
        await tunnel_pod(nursery, place.address, place.port)
        async with tunnel(edge, f"/ws/{place.name}/x"):
            assert [title for _, title in session_of(edge.pid) if title == "splicer: admin"], (
                "it is there without address"
            )
            edge.signal(signal.SIGINT)
            assert await edge.exit_code() == 0
        [call] = receiver.now(kind=INTERNAL)
        assert call["splicer.reason"] == "shutdown"
        assert len(receiver.now(kind=SERVER)) == 1


async def test_tracing_comes_and_goes_with_a_reload(nursery: trio.Nursery) -> None:
    site = Site(pods=1)
    place = site.take()
    pod = await http_pod(nursery, place.address, place.port)
    path = f"/http/{place.name}/x"
    with collector() as receiver, running(several(site, 1), site) as edge:
        await ask(edge.address, "GET", path, SAMPLED)
        assert parent_of(pod.seen[-1]) == f"00-{TRACE}-{SPAN}-01", "it is passed through"
        assert "trace_id" not in await edge.line("exchange", path=path)
        traced = several(site, 1, extra=section(receiver.url))
        assert (await edge.reload(traced))["changes"] == ["tracing: added"]

        async def seen() -> bool:
            await ask(edge.address, "GET", path)
            return bool(receiver.now(url__path=path))

        with trio.fail_after(TIMEOUT):
            while not await seen():  # noqa: ASYNC110 - see `until`
                await trio.sleep(0.2)
        await edge.reload(several(site, 1))
        await ask(edge.address, "GET", path, SAMPLED)
        assert parent_of(pod.seen[-1]) == f"00-{TRACE}-{SPAN}-01"
        await until(lambda: not [title for _, title in session_of(edge.pid) if title == "splicer: admin"])


async def test_config_shows_no_secret(edge: Edge) -> None:
    reply = await ask(address_of(edge), "GET", "/config", host="127.0.0.1")
    assert b'"endpoint"' in reply.body
