"""A SIGTERM after a drain by the admin API: it drains as ever."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import trio

from tests.e2e.draining import drain, lift, ring, text
from tests.e2e.operator import ask_admin, kill_admin, see, see_until
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker
from tests.kit.pods import tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import ask


@pytest.fixture
def own_edge() -> Iterator[Edge]:
    """For those who end it."""
    site = Site()
    with running(text(site), site) as edge:
        yield edge


async def test_a_sigterm_after_a_drain_lets_calls_finish(own_edge: Edge, nursery: trio.Nursery) -> None:
    """It is the first of its kind: it does not stop at once."""
    edge, place = own_edge, own_edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        await drain(edge, None)
        edge.signal(signal.SIGTERM)
        assert (await edge.line("drain"))["tunnels"] == 1
        await echoes(call)
        said = await see_until(edge, "/status", lambda said: said["draining"])
        assert said["remaining"] == 1
        reply = await ask_admin(edge, "DELETE", "/drain", None)
        assert reply.status == 409
        assert (await ask(edge.address, "GET", "/ready")).status == 503
        await kill_worker(edge, 1)
        await kill_admin(edge)
        await echoes(call)
        assert edge.process.poll() is None
        assert (await see(edge, "/status"))["draining"] is True
    assert await edge.exit_code() == 0
    line = await edge.line("tunnel_close")
    assert (line["closed_by"], line["reason"]) == ("client", "eof")


@pytest.mark.slow
async def test_a_sigterm_after_a_drain_that_was_lifted(own_edge: Edge, nursery: trio.Nursery) -> None:
    """It drains as ever."""
    edge, place = own_edge, own_edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        await drain(edge, None)
        await lift(edge, None)
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        assert (await ring(edge, f"/ws/{place.name}/x")).status == 503
        await echoes(call)
    assert await edge.exit_code() == 0
