"""How long the loop may wait: nothing that has no descriptor may come late."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from splicer.supervisor import launch
from splicer.supervisor.pace import longest_wait
from tests.supervisor.harness import SupervisorHarness


@pytest.fixture
def calm(harness: SupervisorHarness) -> SupervisorHarness:
    """All processes are there."""
    harness.open(workers=1, spares=0)
    harness.worker()
    harness.admin()
    assert longest_wait(harness.edge, reloading=False) == math.inf
    return harness


def _wait(harness: SupervisorHarness) -> float:
    return longest_wait(harness.edge, reloading=False)


def test_in_the_usual_state_only_descriptors_wake_it(calm: SupervisorHarness) -> None:
    assert _wait(calm) == math.inf


def test_a_reload_that_goes_on_is_looked_at(calm: SupervisorHarness) -> None:
    assert longest_wait(calm.edge, reloading=True) == 0.1


def test_a_step_is_taken_soon(calm: SupervisorHarness) -> None:
    calm.edge.steps.append(lambda: False)
    assert _wait(calm) == 0.02


def test_until_the_slots_are_served_it_is_busy(harness: SupervisorHarness) -> None:
    harness.open(workers=1)
    assert _wait(harness) == 0.02
    harness.worker(serving=False)
    assert _wait(harness) == 0.02


# Each of these is started after a pause, of whose end no descriptor tells.
def _without_spare(harness: SupervisorHarness) -> None:
    harness.edge.workers.spares = 1
    harness.edge.workers.backoff.failed()


def _without_admin(harness: SupervisorHarness) -> None:
    harness.edge.admin_process.reconcile()
    far = next(far for far in harness.all if far.module == launch.ADMIN)
    for _ in range(5):
        harness.edge.admin_process._backoff.failed()
    far.die(1 << 8)  # by itself: the next one is started after a pause


def _without_template(harness: SupervisorHarness) -> None:
    harness.edge.template._wanted = True


@pytest.mark.parametrize("happens", [_without_spare, _without_admin, _without_template])
def test_a_process_that_is_missing_is_started_in_time(
    calm: SupervisorHarness, happens: Callable[[SupervisorHarness], None]
) -> None:
    happens(calm)
    assert _wait(calm) == 0.1


def test_what_is_not_wanted_is_not_missing(calm: SupervisorHarness) -> None:
    calm.edge.admin_process.want(wanted=False)
    assert _wait(calm) == math.inf
