from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from splicer.relay.mover import Mover
from splicer.relay.registry import NullRegistry, PipeRegistry
from splicer.relay.stock import PipeStock
from tests.kit.descriptors import none_left_open
from tests.relay.harness import CountingHub, Edge, running
from tests.relay.movers import MOVERS, MakeMover, MakeStock
from tests.relay.registry import FakeVault


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    with none_left_open():
        yield


@pytest.fixture(params=MOVERS)
def make_mover(request: pytest.FixtureRequest) -> MakeMover:
    """Each implementation in its turn."""
    return MOVERS[request.param]


@pytest.fixture
def breakable(make_mover: MakeMover) -> None:
    """For a test that breaks what is Python in a mover."""
    if make_mover is not Mover:
        pytest.skip("it makes its system calls itself")


@pytest.fixture
def make_stock(make_mover: MakeMover) -> Iterator[MakeStock]:
    """Stocks, each with a mover and, if none is given, a registry of its own."""
    made = []

    def make(registry: PipeRegistry | None = None, refilled: Callable[[], None] = lambda: None) -> PipeStock:
        registry = registry or NullRegistry()
        mover = make_mover(registry.words)
        stock = PipeStock(registry, mover, refilled)
        made.append((stock, mover))
        return stock

    yield make
    for stock, mover in made:
        stock.close()
        mover.close()


@pytest.fixture
async def edge(make_mover: MakeMover) -> AsyncIterator[Edge]:
    async with running(CountingHub(mover=make_mover)) as edge:
        yield edge


@pytest.fixture
def vault() -> FakeVault:
    return FakeVault()


@pytest.fixture
async def kept(make_mover: MakeMover, vault: FakeVault) -> AsyncIterator[Edge]:
    """An edge whose pipes are kept."""
    async with running(CountingHub(registry=vault, mover=make_mover)) as edge:
        yield edge
    vault.close()
