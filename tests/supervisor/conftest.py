"""A supervisor's state for the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.supervisor.harness import Office, office


@pytest.fixture
def room() -> Iterator[Office]:
    with office() as opened:
        yield opened
