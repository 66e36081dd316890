"""What holds around every end-to-end test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from tests.e2e.edge import ALL, Edge, running
from tests.e2e.guide import guide_edge
from tests.e2e.site import Site

_LONGEST = 60.0  # seconds that a test may take


@pytest.fixture(autouse=True)
async def _watched() -> AsyncIterator[None]:
    """Logs are looked at from here on; no edge crashes; no test hangs."""
    for edge in ALL:
        edge.mark()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_give_up)
        yield
        nursery.cancel_scope.cancel()
    for edge in ALL:
        edge.check()


async def _give_up() -> None:
    await trio.sleep(_LONGEST)
    raise AssertionError(f"the test hangs: over {_LONGEST:g} s")


@pytest.fixture(scope="session")
def plain_edge() -> Iterator[Edge]:
    """For all who need nothing but the general routes: starting an edge takes longer than most tests."""
    site = Site(pods=240)
    with running(site.toml(), site) as edge:
        yield edge


@pytest.fixture(scope="session")
def edge_of_the_guide() -> Iterator[Edge]:
    """For the tests of the repository's own routing.toml."""
    with guide_edge() as edge:
        yield edge
