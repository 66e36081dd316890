"""The series of a route that a reload has removed stay for an hour, and don't come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from splicer.admin import removed
from splicer.admin.removed import RemovedRoutes

HOUR = 3600.0


class Clock:
    now = 50_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(removed, "monotonic", clock)
    return clock


@pytest.mark.parametrize("kept", [True, False])
def test_they_stay_for_an_hour(tmp_path: Path, clock: Clock, kept: bool) -> None:
    routes = RemovedRoutes(tmp_path if kept else None)
    assert routes.past({"old", "new"}, {"new"}) == set()
    clock.now += HOUR - 1
    assert routes.past({"old", "new"}, {"new"}) == set()
    clock.now += 1
    assert routes.past({"old", "new"}, {"new"}) == {"old"}
    clock.now += 100 * HOUR
    assert routes.past({"old", "new"}, {"new"}) == {"old"}


def test_one_that_is_used_again_has_another_hour(tmp_path: Path, clock: Clock) -> None:
    routes = RemovedRoutes(tmp_path)
    routes.past({"old"}, set())
    clock.now += HOUR
    assert routes.past({"old"}, {"old"}) == set()
    assert routes.past({"old"}, set()) == set()
    clock.now += HOUR
    assert routes.past({"old"}, set()) == {"old"}


def test_another_process_goes_on(tmp_path: Path, clock: Clock) -> None:
    RemovedRoutes(tmp_path).past({"old", "older"}, set())
    clock.now += HOUR / 2
    assert RemovedRoutes(tmp_path).past({"old", "older"}, set()) == set()
    clock.now += HOUR / 2
    assert RemovedRoutes(tmp_path).past({"old", "older", "other"}, set()) == {"old", "older"}


@pytest.mark.parametrize("left", [b"", b"{", b"[]", b'{"old": "x"}', b'{"old": null}', b"\xff"])
def test_a_file_that_can_not_be_read_is_none(tmp_path: Path, clock: Clock, left: bytes) -> None:
    RemovedRoutes(tmp_path).past({"old"}, set())
    [file] = tmp_path.iterdir()
    file.write_bytes(left)
    routes = RemovedRoutes(tmp_path)
    assert routes.past({"old"}, set()) == set()
    clock.now += HOUR
    assert routes.past({"old"}, set()) == {"old"}


def test_without_room_for_a_file_it_knows_by_itself(tmp_path: Path, clock: Clock) -> None:
    routes = RemovedRoutes(tmp_path / "removed since")
    routes.past({"old"}, set())
    clock.now += HOUR
    assert routes.past({"old"}, set()) == {"old"}
