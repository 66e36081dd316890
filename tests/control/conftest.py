from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from tests.relay.harness import CountingHub, Edge


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """A hub that runs, and tunnels through it."""
    hub = CountingHub()
    with hub.opened():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            edge = Edge(hub, nursery)
            yield edge
            nursery.cancel_scope.cancel()
        edge.hang_up()
