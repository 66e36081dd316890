"""What holds around every end-to-end test."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import trio

from tests.e2e.guide import guide_edge
from tests.kit.edge import ALL, Edge, running
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site

_MAX_SECONDS = 300  # seconds that a test may take


# Trio bears no other exception at any place: an asynchronous test fails by it, another ends the whole run.
def _hangs(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


# Not async: pytest-trio runs no asynchronous fixture that a test doesn't name.
@pytest.fixture(autouse=True)
def _watched() -> Iterator[None]:
    """Logs are looked at from here on; no edge crashes, and no test hangs."""
    for edge in ALL:
        edge.mark()
    before = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(_MAX_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    for edge in ALL:
        edge.check()


@pytest.fixture
async def place(edge: Edge, nursery: trio.Nursery) -> Place:
    """A pod that echoes, of the module's own edge."""
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    return place


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
