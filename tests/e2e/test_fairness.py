"""A probe and a new call don't wait until all that has come at once is served."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.site import Site
from tests.kit.wire import Wire, dial, request

STORM = 300  # requests
DEAR = "".join(f"X-Field-{n}: {'v' * 100}\r\n" for n in range(100)).encode()


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(), site) as edge:
        yield edge


def answered(wires: list[Wire]) -> int:
    """How many have something to be read."""
    poll = select.poll()
    for wire in wires:
        poll.register(wire.stream.socket.fileno(), select.POLLIN)
    return len(poll.poll(0))


@pytest.mark.parametrize("path", ["/health", "/none"])
async def test_what_comes_last_is_answered_before_most_of_a_storm(edge: Edge, path: str) -> None:
    """All of it is there when the worker looks: it is stopped meanwhile."""
    first, last = request("GET", "/storm").removesuffix(b"\r\n") + DEAR, b"\r\n"
    async with AsyncExitStack() as stack:
        storm = [await stack.enter_async_context(dial(edge.address)) for _ in range(STORM)]
        for wire in storm:
            await wire.send(first)
        async with dial(edge.address) as wire:  # whoever is accepted later comes behind the first bytes of all
            await wire.send(request("GET", "/health"))
            await wire.reply()
        os.kill(edge.worker, signal.SIGSTOP)
        try:
            for wire in storm:
                await wire.send(last)
            probe = await stack.enter_async_context(dial(edge.address))
            await probe.send(request("GET", path))
        finally:
            os.kill(edge.worker, signal.SIGCONT)
        await probe.reply()
        assert answered(storm) < STORM / 2
        with trio.fail_after(60):
            for wire in storm:
                assert (await wire.reply()).status == 404
