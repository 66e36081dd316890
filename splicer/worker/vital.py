"""Tasks that no bug may unwind, because other tasks of the same nursery have calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

Die = Callable[[BaseException], None]


class VitalTasks:
    """A nursery of tasks that are cancelled only by `end`.

    Invariant: no exception of a task reaches the nursery, which would cancel all other tasks, and each would close its
    call. `die` ends the process before that.

    Args:
        nursery: where the tasks run.
        die: called with any exception that a task raises: a bug, MemoryError, SystemExit, or a cancellation that is not
            `end`'s.
    """

    def __init__(self, nursery: trio.Nursery, die: Die) -> None:
        self._nursery = nursery
        self._die = die

    def start_soon(self, task: Callable[..., Awaitable[object]], *arguments: Any) -> None:
        """As `trio.Nursery.start_soon`."""
        self._nursery.start_soon(self.guard, task(*arguments), name=getattr(task, "__qualname__", None))

    async def guard(self, task: Awaitable[object]) -> None:
        """Await `task` in the calling task, under the same rule."""
        try:
            await task
        except BaseException as error:
            if self._nursery.cancel_scope.cancel_called:
                raise
            self._die(error)

    def end(self) -> None:
        """Cancel all tasks."""
        self._nursery.cancel_scope.cancel()


# If one of Trio's own tasks fails (such as the one that reports a thread's result), Trio cancels the main task, which
# would unwind everything: the shield prevents that.
async def run_vital(main: Callable[[VitalTasks], Awaitable[None]], die: Die) -> None:
    """Run `main`, and cancel what it has started when it returns.

    Args:
        main: called with the `VitalTasks` for its tasks.
        die: see `VitalTasks`; it must not return.
    """
    async with trio.open_nursery() as watch:
        watch.start_soon(_die_if_cancelled, watch.cancel_scope, die)
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                tasks = VitalTasks(nursery, die)
                await tasks.guard(main(tasks))
                tasks.end()
        watch.cancel_scope.cancel()


async def _die_if_cancelled(own: trio.CancelScope, die: Die) -> None:
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        if not own.cancel_called:
            die(trio.TrioInternalError("a task of Trio's own has failed"))
        raise
