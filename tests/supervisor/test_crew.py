"""Which worker gets which slot, and what becomes of one that does not answer."""

from __future__ import annotations

import pytest

from splicer.supervisor import fleet
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


# It lives, for its loop turns: but what it was told may not hold, and others wait for it.
@pytest.mark.parametrize("word", ["prepared", "serving", "reloaded"])
def test_a_worker_that_never_answers_is_replaced(room: Office, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    room.open(workers=1)
    worker = next(far for far in room.all if far.module == "splicer.run")
    for answer in ("imported", "prepared", "serving"):
        if answer == word:
            break
        worker.say(answer)
    if word == "reloaded":
        room.desk.crew.tell("reload", "reloaded")
    [process] = room.desk.crew.all.values()
    room.desk.fleet.tick()
    assert process.fault is None
    with monkeypatch.context() as patches:
        patches.setattr(fleet, "_ANSWER", -1.0)
        room.desk.fleet.tick()
    assert process.fault == f"no answer: {word}"
    worker.die()
    [line] = room.said.of("worker_died")
    assert line["reason"] == f"no answer: {word}"
    assert not room.desk.crew.owes(word)


def test_one_that_has_answered_owes_nothing(room: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    room.open(workers=1)
    worker = room.worker()
    room.desk.crew.tell("reload", "reloaded")
    worker.say("reloaded")
    monkeypatch.setattr(fleet, "_ANSWER", -1.0)
    room.desk.fleet.tick()
    assert not any(process.fault for process in room.desk.crew.all.values())
