from __future__ import annotations

import pytest

from splicer.supervisor import __main__ as program
from splicer.supervisor.metrics_dir import MetricsDirectory
from tests.supervisor.harness import Said


def test_an_edge_that_has_nowhere_to_count_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """... and serves: no call needs it."""
    said = Said()
    monkeypatch.setattr(MetricsDirectory, "make", lambda: None)
    assert program._counts(said) is None
    [line] = said.of("metrics_not_kept")
    assert "/dev/shm" in line["reason"]
