"""What a full vault has refused, and when it is asked again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.worker.vault_refusals import Refusals


class Owner:
    """The tunnels that there are, and those that were offered again."""

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.offered: list[int] = []
        self.refusals = Refusals(self.known, self.offered.append)

    def refuse(self, *keys: int) -> None:
        self.known.update(keys)
        for key in keys:
            self.refusals.add(key)


@pytest.fixture
async def owner(nursery: trio.Nursery) -> AsyncIterator[Owner]:
    owner = Owner()
    nursery.start_soon(owner.refusals.run)
    await wait_all_tasks_blocked()
    yield owner
    nursery.cancel_scope.cancel()


async def test_a_full_vault_is_not_asked_for_a_second(owner: Owner, autojump_clock: MockClock) -> None:
    assert not owner.refusals.is_full()
    owner.refuse(2)
    await trio.sleep(0.9)
    assert owner.refusals.is_full()
    await trio.sleep(0.2)
    assert not owner.refusals.is_full()


async def test_what_it_has_refused_is_offered_again_once(owner: Owner, autojump_clock: MockClock) -> None:
    owner.refuse(2, 4)
    assert not owner.refusals.is_empty
    await trio.sleep(10)
    assert sorted(owner.offered) == [2, 4]
    assert owner.refusals.is_empty


async def test_many_are_offered_some_at_a_time(owner: Owner, autojump_clock: MockClock) -> None:
    owner.refuse(*range(0, 80, 2))
    counts = []
    for _ in range(4):
        await trio.sleep(1)
        await wait_all_tasks_blocked()
        counts.append(len(owner.offered))
    assert counts == [16, 32, 40, 40]
    assert sorted(owner.offered) == list(range(0, 80, 2))


async def test_what_is_over_or_can_not_be_registered_is_not_offered(owner: Owner, autojump_clock: MockClock) -> None:
    owner.refuse(2, 4)
    owner.refusals.discard(2)
    owner.known.discard(4)
    await trio.sleep(10)
    assert owner.offered == []
    assert not owner.refusals.is_empty, "one of them is no longer known, and still unprotected"


async def test_the_next_vault_has_refused_nothing(owner: Owner, autojump_clock: MockClock) -> None:
    owner.refuse(2)
    owner.refusals.clear()
    assert owner.refusals.is_empty
    assert not owner.refusals.is_full()
    await trio.sleep(10)
    assert owner.offered == []
