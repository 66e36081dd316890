"""How a worker leaves, in virtual time: nothing is cut off, and nothing is touched that is another's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.worker.inheritance import Heir
from splicer.worker.leaving import Leaving

_TIMEOUT, _DRAIN = 15.0, 30.0  # seconds: for exchanges; for all the rest


class Owner:
    """A worker with connections, tunnels and a vault; and what was done, in order."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.heirs: list[Any] = []
        self.settled = True
        self.tunnels = 0
        self.left = 0
        self.context = SimpleNamespace(
            retiring=False,
            lingering=0,
            counts=SimpleNamespace(active=0),
            places=SimpleNamespace(leave_all=lambda: self.notes.append("counts no tunnels")),
            balancer=SimpleNamespace(
                loads=SimpleNamespace(leave_all=lambda: self.notes.append("counts none at endpoints"))
            ),
            idle=SimpleNamespace(end_within=self._end_within),
            rules=SimpleNamespace(deadlines=SimpleNamespace(drain=_DRAIN)),
        )
        self.leaving = Leaving(
            cast("Any", self.context), self, cast("Any", self), lambda: self.notes.append("stops accepting")
        )

    async def _end_within(self, seconds: float, heir: object = None) -> None:
        self.notes.append("idle connections end")
        self.heirs.append(heir)

    def stop_serving(self) -> None:
        self.notes.append("stops serving")

    def let_go(self) -> None:
        self.notes.append("lets go")
        self.left, self.tunnels = self.tunnels, 0

    def close(self) -> None:
        self.notes.append("hangs up")

    def open(self, *, exchanges: int = 0, tunnels: int = 0, lingering: int = 0) -> None:
        """What there is now."""
        self.tunnels, self.context.lingering = tunnels, lingering
        self.context.counts.active = exchanges + tunnels + lingering

    async def hand_over(self, linger: float | None = None) -> None:
        await self.leaving.hand_over(_TIMEOUT, linger, lambda: self.notes.append("handed over"))
        self.notes.append(f"ends after {trio.current_time() - self.began:.0f} s")

    async def begin(self, nursery: trio.Nursery, linger: float | None = None) -> None:
        """Let it hand over."""
        self.began = trio.current_time()
        nursery.start_soon(self.hand_over, linger)
        await wait_all_tasks_blocked()


@pytest.fixture
def owner() -> Owner:
    return Owner()


_HANDS_OVER = ["lets go", "counts no tunnels", "counts none at endpoints", "hangs up", "handed over"]


async def test_nothing_new_is_taken_before_anything_else_is_done(owner: Owner) -> None:
    await owner.leaving.leave()
    assert owner.notes == ["stops accepting", "stops serving", "idle connections end"]
    assert owner.context.retiring
    assert owner.heirs == [None]


async def test_an_heir_is_offered_the_connections_that_idle(owner: Owner) -> None:
    heir = cast("Heir", SimpleNamespace(take=object()))
    await owner.leaving.leave(heir)
    assert owner.heirs == [heir.take]


async def test_calls_go_as_soon_as_no_exchange_is_under_way(
    owner: Owner, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    owner.open(exchanges=2, tunnels=3)
    await owner.begin(nursery)
    await trio.sleep(5)
    assert owner.notes == []
    owner.open(tunnels=3, lingering=1)  # who waits for nothing but its client's end holds up nobody
    await trio.sleep(5)
    assert owner.notes == [*_HANDS_OVER, "ends after 5 s"]


async def test_exchanges_that_go_on_do_not_keep_the_calls_for_long(
    owner: Owner, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    owner.open(exchanges=1, tunnels=3)
    await owner.begin(nursery)
    await trio.sleep(_TIMEOUT + 1)
    assert owner.notes == _HANDS_OVER
    await trio.sleep(10)
    assert owner.notes == _HANDS_OVER, "it waits for the exchange"
    owner.context.counts.active -= 1
    await trio.sleep(1)
    assert owner.notes[-1].startswith("ends after 2")


async def test_calls_that_the_vault_does_not_know_are_kept(
    owner: Owner, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    owner.settled = False
    owner.open(tunnels=3)
    await owner.begin(nursery)
    await trio.sleep(20)
    assert owner.notes == []
    owner.settled = True
    await trio.sleep(1)
    assert owner.notes == [*_HANDS_OVER, "ends after 20 s"]


async def test_calls_that_end_here_need_no_vault(
    owner: Owner, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    owner.settled = False
    owner.open(tunnels=1)
    await owner.begin(nursery)
    await trio.sleep(20)
    owner.open()
    await trio.sleep(1)
    assert owner.notes == ["ends after 20 s"]


@pytest.mark.parametrize(("linger", "seconds"), [(None, _DRAIN), (3.0, 3.0), (0.0, 0.0)])
async def test_at_last_it_waits_no_longer(
    owner: Owner, nursery: trio.Nursery, autojump_clock: MockClock, linger: float | None, seconds: float
) -> None:
    owner.settled = False
    owner.open(tunnels=3)
    await owner.begin(nursery, linger)
    await trio.sleep(_DRAIN + 10)
    assert owner.notes == [f"ends after {seconds:.0f} s"]


async def test_who_is_alone_stays_until_all_is_over(
    owner: Owner, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    owner.open(exchanges=1, tunnels=1)
    nursery.start_soon(owner.leaving.finish)
    await trio.sleep(20)
    assert nursery.child_tasks
    owner.open(tunnels=1)
    await trio.sleep(20)
    assert nursery.child_tasks
    owner.open(lingering=1)
    await trio.sleep(1)
    assert not nursery.child_tasks
