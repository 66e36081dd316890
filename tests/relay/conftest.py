from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.kit.descriptors import none_left_open
from tests.relay.harness import CountingHub, Edge, running


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    with none_left_open():
        yield


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running(CountingHub()) as edge:
        yield edge
