"""A part of an attempt: what its end means."""

from __future__ import annotations

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from splicer.errors import AttemptsTimeout, ClientGone, ConnectTimeout, HandshakeTimeout, SplicerError
from splicer.model import Deadlines
from splicer.net.waits import Scope, Waits
from splicer.policy.deadlines import AttemptBudget
from splicer.upstream.stage import Stage


@define(eq=False)
class Waiter:
    """Waits, and may be given up."""

    budget: AttemptBudget
    scope: Scope | None = None
    waits: Waits | None = None
    gone: bool = False


async def waiter(attempts: float = 15.0) -> Waiter:
    return Waiter(AttemptBudget.start(Deadlines(attempts=attempts), trio.current_time()))


async def test_what_is_in_time_is_let_be(autojump_clock: MockClock) -> None:
    waiting = await waiter()
    with Stage(waiting, 2, ConnectTimeout, lambda: "somebody") as scope:
        assert waiting.scope is scope
        await trio.sleep(1.9)
    assert waiting.scope is None


@pytest.mark.parametrize(
    ("seconds", "attempts", "error", "at"),
    [(2.0, 15.0, HandshakeTimeout, 2.0), (10.0, 3.0, AttemptsTimeout, 3.0), (3.0, 3.0, AttemptsTimeout, 3.0)],
)
async def test_whose_time_is_over_is_told_with_who_was_waited_for(
    autojump_clock: MockClock, seconds: float, attempts: float, error: type[SplicerError], at: float
) -> None:
    waiting, began = await waiter(attempts), trio.current_time()
    with (
        pytest.raises(SplicerError, match="a pod: ") as raised,
        Stage(waiting, seconds, HandshakeTimeout, lambda: "a pod"),
    ):
        await trio.sleep_forever()
    assert type(raised.value) is error
    assert trio.current_time() - began == at
    assert waiting.scope is None


async def test_who_gives_up_hears_that(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    waiting = await waiter()

    async def leave() -> None:
        await trio.sleep(1)
        waiting.gone = True
        assert waiting.scope is not None
        waiting.scope.cancel()

    nursery.start_soon(leave)
    with pytest.raises(ClientGone), Stage(waiting, 2, ConnectTimeout, lambda: "somebody"):
        await trio.sleep_forever()


async def test_what_fails_by_itself_is_passed_on(autojump_clock: MockClock) -> None:
    waiting = await waiter()
    with pytest.raises(ZeroDivisionError), Stage(waiting, 2, ConnectTimeout, lambda: "somebody"):
        raise ZeroDivisionError
    assert waiting.scope is None
