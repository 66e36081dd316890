from __future__ import annotations

import pytest

from splicer.supervisor import __main__ as program
from splicer.supervisor.countsdir import CountsDirectory
from tests.supervisor.office import Said


def test_an_edge_that_has_nowhere_to_count_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """... and serves: no call needs it."""
    said = Said()
    monkeypatch.setattr(CountsDirectory, "make", lambda: None)
    assert program._counts(said) is None
    [line] = said.of("metrics_not_kept")
    assert "/dev/shm" in line["reason"]
