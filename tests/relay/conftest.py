from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from tests.relay.harness import CountingHub, Edge, open_descriptors


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    gc.collect()
    before = open_descriptors()
    yield
    assert open_descriptors() - before == set()


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    hub = CountingHub()
    with hub.opened():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            edge = Edge(hub, nursery)
            yield edge
            nursery.cancel_scope.cancel()
        edge.hang_up()
    assert (hub.tunnels, hub.pipes.in_use, hub.pipes.idle) == (0, 0, 0)
