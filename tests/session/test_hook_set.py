"""Hooks are closed once, when the last request that knows them is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from splicer.configfile.hooks import HookGeneration, LoadedHook
from splicer.hook_settings import HookSettings
from splicer.session.hook_set import HookSet


def hooks(aclose: Callable[[], Awaitable[None]] | None) -> HookSet:
    return HookSet(HookGeneration({"h": LoadedHook(HookSettings("h", "m:C"), object(), None, None, aclose)}))


async def test_the_last_request_closes_them() -> None:
    closed = []

    async def aclose() -> None:
        closed.append(True)

    async with trio.open_nursery() as nursery:
        using, failed = hooks(aclose), []
        with using:
            with using:
                using.retire(nursery.start_soon, lambda *told: failed.append(told))
                await trio.testing.wait_all_tasks_blocked()
            await trio.testing.wait_all_tasks_blocked()
            assert closed == []
        await trio.testing.wait_all_tasks_blocked()
        assert closed == [True]
        with using:
            pass
        await trio.testing.wait_all_tasks_blocked()
    assert (closed, failed) == ([True], [])


async def _raises() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("aclose", "reason"), [(_raises, "SystemExit(3)"), (trio.sleep_forever, "aclose took more than 5 s")]
)
async def test_a_hook_that_can_not_be_closed_is_told(aclose: Callable[[], Awaitable[None]], reason: str) -> None:
    failed: list[tuple[str, str]] = []
    async with trio.open_nursery() as nursery:
        hooks(aclose).retire(nursery.start_soon, lambda *told: failed.append(told))
    assert failed == [("h", reason)]


async def test_without_aclose_nothing_is_done() -> None:
    async with trio.open_nursery() as nursery:
        hooks(None).retire(nursery.start_soon, lambda *told: pytest.fail(str(told)))


def test_what_there_is() -> None:
    found = hooks(None)
    assert found.get("h") is found["h"]
    assert found.get("x") is None
