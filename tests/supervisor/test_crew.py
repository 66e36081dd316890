"""Which worker gets which slot."""

from __future__ import annotations

import pytest

from splicer.supervisor.vaults import OwnVault
from tests.supervisor.office import Office


@pytest.mark.parametrize(
    ("orphaned", "order"), [([], [1, 2, 3, 4]), ([3], [3, 1, 2, 4]), ([2, 4], [2, 4, 1, 3]), ([9], [1, 2, 3, 4])]
)
def test_slots_that_calls_wait_for_are_filled_first(
    room: Office, monkeypatch: pytest.MonkeyPatch, orphaned: list[int], order: list[int]
) -> None:
    monkeypatch.setattr(OwnVault, "orphaned_slots", orphaned)
    room.open(workers=4)
    given = []
    for worker in [far for far in room.all if far.module == "splicer.run"]:
        worker.say("imported")
        worker.say("prepared")
        while (heard := worker.next()[0])["do"] != "serve":
            pass
        given.append(heard["slot"])
        orphaned[:] = [slot for slot in orphaned if slot != heard["slot"]]
    assert given == order
