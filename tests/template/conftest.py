"""A template for the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.template.stand import Stand, stand


@pytest.fixture(scope="module")
def template() -> Iterator[Stand]:
    with stand() as made:
        yield made
