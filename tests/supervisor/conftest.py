"""A supervisor's state for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from splicer.ipc.messages import Imported, Prepared, Serving
from splicer.supervisor.supervisor import Supervisor
from tests.supervisor.door import Door
from tests.supervisor.harness import Far, SupervisorHarness, supervisor_harness


@pytest.fixture
def harness() -> Iterator[SupervisorHarness]:
    with supervisor_harness() as opened:
        yield opened


def _workers(harness: SupervisorHarness, count: int) -> list[Far]:
    """So many workers, all serving, that have heard nothing yet."""
    workers = [far for far in harness.all if far.module == "splicer.worker"]
    assert len(workers) == count
    for worker in workers:
        for word in (Imported, Prepared, Serving):
            worker.send(word)
        worker.pending()
    return workers


@pytest.fixture
def staff(harness: SupervisorHarness) -> tuple[Far, list[Far]]:
    """An admin process and two workers, all serving, that have heard nothing yet."""
    harness.open(workers=2)
    workers, admin = _workers(harness, 2), harness.admin()
    for far in (admin, *workers):
        far.pending()
    return admin, workers


@pytest.fixture
def worker(harness: SupervisorHarness) -> Far:
    harness.open(workers=1)
    return harness.worker()


@pytest.fixture
def door(harness: SupervisorHarness, worker: Far, tmp_path: Path) -> Iterator[Door]:
    path = tmp_path / "control"
    harness.edge.control.listen(path)
    worker.pending()
    opened = Door(harness, path, Supervisor(harness.edge))
    with opened.stack:
        yield opened
        opened.supervisor._reload.close()
        opened.supervisor._upgrade.close()
        harness.edge.control.close()
