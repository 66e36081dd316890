"""The edge that session tests run against, and the clock that they run by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.session.edge import Edge, open_edge


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Tests of an edge take no real time: the clock jumps to the next deadline when everybody waits."""
    for item in items:  # of the whole run: other folders have an edge of their own
        if item.path.parent == Path(__file__).parent and "edge" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.trio(run=_run))


def _run(*args: object, **more: object) -> object:
    return trio.run(*args, **more | {"clock": MockClock(autojump_threshold=0)})  # type: ignore[arg-type]  # passed on


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with open_edge() as opened:
        yield opened
