from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.descriptors import none_left_open
from tests.vault.rig import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    with none_left_open(), Rig() as rig:
        yield rig
