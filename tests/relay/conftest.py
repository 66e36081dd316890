from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from tests.descriptors import none_left_open
from tests.relay.harness import CountingHub, Edge


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    with none_left_open():
        yield


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
