"""Full collections: when the memory in use is more than the connections explain, and never else."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from splicer.worker import collector
from splicer.worker.collector import collect_if_grown, collect_young_only

BLOCKS = 60_000  # more than the slack


class Ring:
    """Garbage that only a collector frees."""

    def __init__(self, blocks: int) -> None:
        self.load = [object() for _ in range(blocks)]
        self.ring = self


@pytest.fixture(autouse=True)
def _undone() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@define
class Collecting:
    """What a collector is told, and tells."""

    connections: int = 0
    found: list[int] = field(factory=list)


@pytest.fixture
async def collecting(nursery: trio.Nursery) -> Collecting:
    collecting = Collecting()
    collect_young_only()
    nursery.start_soon(
        collect_if_grown, lambda: collecting.connections, lambda found, _: collecting.found.append(found)
    )
    await trio.sleep(0.5)
    return collecting


async def test_garbage_is_found_when_there_is_much_of_it(collecting: Collecting, autojump_clock: MockClock) -> None:
    Ring(10)
    await trio.sleep(10)
    assert collecting.found == []
    Ring(BLOCKS)
    await trio.sleep(10)
    [found] = collecting.found
    assert found >= 4  # both rings, and their lists


async def test_what_the_connections_explain_is_no_reason_to_look(
    collecting: Collecting, autojump_clock: MockClock
) -> None:
    collecting.connections = BLOCKS // collector._OF_A_CONNECTION
    ring = Ring(BLOCKS)
    await trio.sleep(10)
    assert collecting.found == []
    collecting.connections = 0
    await trio.sleep(10)
    assert collecting.found == [0]
    del ring


async def test_memory_in_use_is_looked_at_again_when_it_has_doubled(
    collecting: Collecting, autojump_clock: MockClock
) -> None:
    kept = [Ring(BLOCKS)]
    await trio.sleep(10)
    assert collecting.found == [0]
    kept.append(Ring(BLOCKS // 2))
    await trio.sleep(10)
    assert collecting.found == [0]
    kept.append(Ring(BLOCKS))
    await trio.sleep(10)
    assert collecting.found == [0, 0]


async def test_a_peak_that_is_over_is_forgotten(collecting: Collecting, autojump_clock: MockClock) -> None:
    peak = [object() for _ in range(4 * BLOCKS)]
    await trio.sleep(10)
    assert collecting.found == [0]
    del peak
    await trio.sleep(10)
    Ring(BLOCKS)
    await trio.sleep(10)
    assert len(collecting.found) == 2
    assert collecting.found[1] >= 2


def test_old_objects_are_left_alone() -> None:
    """Neither those from before nor those that have come through a collection of the young."""
    collect_young_only()
    began = [generation["collections"] for generation in gc.get_stats()]
    kept = [[] for _ in range(20 * collector._YOUNG)]  # type: ignore[var-annotated]  # of nothing
    counts = [generation["collections"] for generation in gc.get_stats()]
    assert counts[0] > began[0]
    assert counts[1:] == began[1:]
    del kept
