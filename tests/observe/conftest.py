from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.relay.harness import CountingHub, Edge, running


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """A hub that runs, and tunnels through it."""
    async with running(CountingHub()) as edge:
        yield edge
