"""The gauges of discovery."""

from __future__ import annotations

import time

import pytest

from splicer.admin.discovery_metrics import discovery_metrics
from splicer.upstream.snapshot import LEASE, Found
from tests.upstream.snapshots import Snapshot, found, row

_KEY, _AWAY = "voice/agent:8000", "voice/away:1"


def values(it: Snapshot, restarts: int = 0) -> dict[tuple[str, str], float]:
    return {
        (sample.name.removeprefix("splicer_"), sample.labels.get("service", "")): sample.value
        for family in discovery_metrics(it.reader, restarts)
        for sample in family.samples
    }


def test_the_gauges() -> None:
    it = Snapshot()
    since = time.monotonic() - 30
    it.publish({_KEY: found(row("agent-0", "10.0.0.1")), _AWAY: Found(False, since, ())})
    told = values(it, restarts=3)
    assert told.pop(("discovery_unsynced_seconds", _AWAY)) == pytest.approx(30, abs=10)
    assert told == {
        ("discovery_synced", _KEY): 1,
        ("discovery_synced", _AWAY): 0,
        ("discovery_unsynced_seconds", _KEY): 0,
        ("discovery_restarts_total", ""): 3,
        ("endpoint_snapshot_generation", ""): 1,
    }


def test_nothing_is_current_when_nobody_looks_any_more() -> None:
    it = Snapshot()
    it.publish({_KEY: found(row("agent-0", "10.0.0.1"))})
    it.writer.renew(time.monotonic() - LEASE - 5)
    told = values(it)
    assert told["discovery_synced", _KEY] == 0
    assert told["discovery_unsynced_seconds", _KEY] == pytest.approx(LEASE + 5, abs=10)


def test_without_discovery_there_is_a_series_of_each_family() -> None:
    assert values(Snapshot()) == {
        ("discovery_synced", ""): 0,
        ("discovery_unsynced_seconds", ""): 0,
        ("discovery_restarts_total", ""): 0,
        ("endpoint_snapshot_generation", ""): 0,
    }
