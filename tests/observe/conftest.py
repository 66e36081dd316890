from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from splicer.observe.families import _Kept, keep_in
from splicer.observe.metrics import Metrics
from splicer.observe.series import FileCounts
from tests.observe.recorded import ROW
from tests.relay.harness import CountingHub, Edge, running


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """A hub that runs, and tunnels through it."""
    async with running(CountingHub()) as edge:
        yield edge


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this process counts during the test, and no longer."""
    made: list[FileCounts] = []
    make: Any = FileCounts.__init__

    def note(self: FileCounts, *arguments: Any) -> None:
        make(self, *arguments)
        made.append(self)

    monkeypatch.setattr(FileCounts, "__init__", note)
    monkeypatch.setattr(_Kept, "counts", _Kept.counts)
    keep_in(tmp_path, ROW)
    yield tmp_path
    for counts in made:
        counts.close()


@pytest.fixture
def metrics(directory: Path) -> Metrics:
    return Metrics()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)
