from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.descriptors import none_left_open
from tests.vault.rig import Rig


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    with none_left_open():
        yield


@pytest.fixture
def rig(_no_descriptor_stays: None) -> Iterator[Rig]:
    with Rig() as rig:
        yield rig
