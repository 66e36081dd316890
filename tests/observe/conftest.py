from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

from splicer.observe.families import keep_in
from splicer.observe.metrics import Metrics
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
    files: list[Any] = []
    make: Any = MmapedDict.__init__

    def note(self: Any, *arguments: Any) -> None:
        make(self, *arguments)
        files.append(self)

    monkeypatch.setattr(MmapedDict, "__init__", note)
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "is put back")
    keep_in(tmp_path, ROW)
    yield tmp_path
    for file in files:
        file._f.close()


@pytest.fixture
def metrics(directory: Path) -> Metrics:
    return Metrics()
