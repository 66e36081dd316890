"""TLS to pods: what they must prove, what we show them, and calls with TLS on both sides."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker
from tests.kit.pods import ok, raw_pod
from tests.kit.site import Place, Site
from tests.kit.tls import (
    NAME,
    Certificates,
    TlsWire,
    server_context,
    tls_echo,
    tls_pids,
    tls_pod,
    tls_text,
    tls_tunnel,
)
from tests.kit.wire import Wire, ask, until
from tests.kit.workers import kill_and_see

pytestmark = pytest.mark.slow
_SPIFFE = "spiffe://cluster.local/ns/voice/sa/agent"
_OWN = "spiffe://cluster.local/ns/voice/pod/"  # and the pod's name


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    (certificates.directory / "strangers").mkdir()
    return certificates


def text(site: Site, certificates: Certificates) -> str:
    """The routes `tls` by name, `mtls` with our certificate, `spiffe` by a workload, `own` by a pod; and fallbacks."""
    ours = certificates.folder("ours", "edge-client")
    upstreams = {
        "tls": "",
        "mtls": f', certificate = "{ours}"',
        "spiffe": f', names = ["{_SPIFFE}"], sni = "agent.test"',
        "own": f', names = ["{_OWN}{{pod}}"], sni = "{{pod}}.mesh.test"',
    }
    routes = "".join(
        f"""
[upstreams.{name}]
address = "{{pod}}.pods.test:{site.port}"
allow = ["127.0.0.0/8"]
tls = {{ ca = "{certificates.ca}"{more} }}
[[routes]]
name = "{name}"
regex = '^/{name}/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "{name}"
rewrite = "{{rest}}"
[[routes]]
name = "{name}-or-plain"
regex = '^/{name}-or-plain/(?<pod>[^/]+)(?<rest>/.*)$'
upstream = "{name}"
fallback = "any"
rewrite = "{{rest}}"
"""
        for name, more in upstreams.items()
    )
    return site.toml(routes, deadlines='connect = "1s"')


@pytest.fixture(scope="module")
def edge(certificates: Certificates) -> Iterator[Edge]:
    site = Site()
    with running(text(site, certificates), site) as edge:
        yield edge


def named(certificates: Certificates, place: Place) -> Path:
    return certificates.folder(place.name, f"{place.name}.pods.test")


async def failure(edge: Edge, place: Place, route: str = "tls") -> tuple[int, str]:
    """The status of a request, and why its attempt failed."""
    answer = await ask(edge.address, "GET", f"/{route}/{place.name}/x")
    line = await edge.line("exchange", path=f"/{route}/{place.name}/x")
    return answer.status, line["attempts"][0]["failure"]


async def test_a_call(edge: Edge, certificates: Certificates, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    seen: list[str | None] = []
    context = server_context(named(certificates, place))
    context.sni_callback = lambda _, name, __: seen.append(name)
    await tls_pod(nursery, place.address, place.port, context, tls_echo)
    async with tunnel(edge, f"/tls/{place.name}/x") as wire:
        await echoes(wire, bytes(100_000))
        await kill_worker(edge)
        await echoes(wire, b"after")
    line = await edge.line("tunnel_close", path=f"/tls/{place.name}/x")
    assert (line["bytes_to_pod"], line["bytes_to_client"], line["closed_by"]) == (100_005, 100_005, "client")
    assert (line["pod_tls_version"], line["adopted"], seen) == ("TLSv1.3", 1, [f"{place.name}.pods.test"])
    assert line["pod_rtt_ms"] is not None


async def test_a_connection_is_used_again_only_for_what_it_has_proved(
    edge: Edge, certificates: Certificates, nursery: trio.Nursery
) -> None:
    place = edge.site.take()

    async def answer(wire: TlsWire) -> None:
        while True:
            await wire.request()
            await wire.send(ok(b"secured"))

    pod = await tls_pod(nursery, place.address, place.port, server_context(named(certificates, place)), answer)
    for connections in (1, 1, 1):
        assert (await ask(edge.address, "GET", f"/tls/{place.name}/x")).body == b"secured"
        assert pod.connections == connections
    assert (await ask(edge.address, "GET", f"/mtls/{place.name}/x")).body == b"secured"
    assert pod.connections == 2


async def test_it_is_told_when_a_pod_is_not_who_it_should_be(
    edge: Edge, certificates: Certificates, nursery: trio.Nursery
) -> None:
    strangers = Certificates(certificates.directory / "strangers")
    for folder, reason in (
        (certificates.folder("another", "another.pods.test"), "tls_name_mismatch"),
        (strangers.folder("stranger", "x.test"), "tls_untrusted"),
        (certificates.by_uri("expired", "spiffe://x/y", days=-1), "tls_expired"),
    ):
        place = edge.site.take()
        await tls_pod(nursery, place.address, place.port, server_context(folder), tls_echo)
        assert await failure(edge, place) == (502, reason)


async def test_by_spiffe(edge: Edge, certificates: Certificates, nursery: trio.Nursery) -> None:
    place, wrong = edge.site.take(), edge.site.take()
    await tls_pod(nursery, place.address, place.port, server_context(certificates.by_uri("agent", _SPIFFE)), tls_echo)
    await tls_pod(nursery, wrong.address, wrong.port, server_context(named(certificates, wrong)), tls_echo)
    async with tunnel(edge, f"/spiffe/{place.name}/x") as wire:
        await echoes(wire)
    assert await failure(edge, wrong, "spiffe") == (502, "tls_name_mismatch")


async def test_a_name_may_have_the_name_of_the_pod(
    edge: Edge, certificates: Certificates, nursery: trio.Nursery
) -> None:
    """A pod's certificate is its own: with another pod's, of the same authority, it is refused."""
    place, other = edge.site.take(), edge.site.take()
    asked: list[str | None] = []
    context = server_context(certificates.by_uri(f"own-{place.name}", f"{_OWN}{place.name}"))
    context.sni_callback = lambda _, name, __: asked.append(name)
    await tls_pod(nursery, place.address, place.port, context, tls_echo)
    await tls_pod(nursery, other.address, other.port, context, tls_echo)
    async with tunnel(edge, f"/own/{place.name}/x") as wire:
        await echoes(wire)
    assert asked == [f"{place.name}.mesh.test"]
    assert await failure(edge, other, "own") == (502, "tls_name_mismatch")


@pytest.mark.parametrize("latest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_mtls(edge: Edge, certificates: Certificates, nursery: trio.Nursery, latest: ssl.TLSVersion) -> None:
    place = edge.site.take()
    folder = certificates.folder(place.name, *(f"agent-{number}.pods.test" for number in range(1, 99)))
    context = server_context(folder, certificates.ca)
    context.maximum_version = latest
    await tls_pod(nursery, place.address, place.port, context, tls_echo)
    async with tunnel(edge, f"/mtls/{place.name}/x") as wire:
        await echoes(wire)
    edge.mark()
    other = edge.site.take()  # Trio's pods send no alert
    with socket.create_server((other.address, other.port)) as listener:

        def refuse() -> None:
            raw, _ = listener.accept()
            with raw, suppress(OSError), context.wrap_socket(raw, server_side=True) as secured:
                secured.recv(100)

        nursery.start_soon(trio.to_thread.run_sync, refuse)
        assert await failure(edge, other) == (502, "tls_refused")


async def test_a_pod_without_tls(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def plain(wire: Wire) -> None:
        await wire.some()
        await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    await raw_pod(nursery, place.address, place.port, plain)
    assert await failure(edge, place) == (502, "tls_refused")


async def test_a_silent_pod_and_one_that_closes(edge: Edge, nursery: trio.Nursery) -> None:
    silent, closing = edge.site.take(), edge.site.take()

    async def wait(wire: Wire) -> None:
        await wire.rest()

    async def close(wire: Wire) -> None:
        await wire.some()

    await raw_pod(nursery, silent.address, silent.port, wait)
    await raw_pod(nursery, closing.address, closing.port, close)
    assert await failure(edge, silent) == (504, "tls_deadline")
    assert await failure(edge, closing) == (502, "tls_closed")


async def test_a_fallback_serves(edge: Edge, certificates: Certificates, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def plain(wire: Wire) -> None:
        head = await wire.some()
        await wire.send(ok(b"plain") if head.startswith(b"GET") else b"what?" * 9)

    await raw_pod(nursery, place.address, place.port, plain)
    await raw_pod(nursery, place.twin, place.port, plain)
    assert (await ask(edge.address, "GET", f"/tls-or-plain/{place.name}/x")).body == b"plain"
    line = await edge.line("exchange", path=f"/tls-or-plain/{place.name}/x")
    assert [attempt["failure"] for attempt in line["attempts"]] == ["tls_refused", None]


async def test_a_killed_tls_process_ends_the_call(
    edge: Edge, certificates: Certificates, nursery: trio.Nursery
) -> None:
    place = edge.site.take()
    await tls_pod(nursery, place.address, place.port, server_context(named(certificates, place)), tls_echo)
    [process] = tls_pids(edge)
    async with tunnel(edge, f"/tls/{place.name}/x") as wire:
        await echoes(wire)
        await kill_and_see(process)
        assert await wire.end() == "eof"
    await edge.expected(1, "tls_died", pid=process)
    line = await edge.line("tunnel_close", path=f"/tls/{place.name}/x")
    assert (line["closed_by"], line["reason"]) == ("proxy", "tls_lost")
    await until(lambda: tls_pids(edge))


async def test_tls_on_both_sides(certificates: Certificates) -> None:
    """The counts are right although neither side is TCP for the worker."""
    site = Site()
    place = site.take()
    toml = tls_text(text(site, certificates), [certificates.folder("edge", NAME)])
    with running(toml, site) as edge:
        async with trio.open_nursery() as nursery:
            await tls_pod(nursery, place.address, place.port, server_context(named(certificates, place)), tls_echo)
            async with tls_tunnel(edge, certificates.client(), f"/tls/{place.name}/x") as wire:
                for size in (1, 100_000, 7):
                    await echoes(wire, bytes(size))
                    await kill_worker(edge)
                await echoes(wire, b"the end")
            line = await edge.line("tunnel_close", path=f"/tls/{place.name}/x")
            assert (line["bytes_to_pod"], line["bytes_to_client"], line["adopted"]) == (100_015, 100_015, 3)
            nursery.cancel_scope.cancel()
