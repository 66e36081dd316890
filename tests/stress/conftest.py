"""Fixtures of the storms."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.stress.report import Report
from tests.stress.trials import Tell


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Put the figures into the test's report, and on the screen with -s."""

    def tell(report: Report) -> None:
        for name, seconds in zip(("median", "p99", "longest"), report.stalls, strict=True):
            record_property(f"longest gaps, {name}, s", round(seconds, 3))
        record_property("tunnels", report.tunnels)
        record_property("bytes", report.to_pods + report.to_clients)
        print(f"\n{report.text()}")  # noqa: T201 - for a person

    return tell
