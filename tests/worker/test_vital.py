"""Tasks that end in order when they are told to, and in no other way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from splicer.worker.vital import VitalTasks, run_vital


@define
class Life:
    """A task that notices when it is unwound, and another one beside it."""

    beside: Callable[[], Awaitable[None]]
    deaths: list[BaseException] = field(factory=list)
    deaths_at_end: int | None = None  # of the first task; None: it goes on

    def die(self, error: BaseException) -> None:
        """A process would end here."""
        self.deaths.append(error)

    async def call(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.deaths_at_end = len(self.deaths)

    async def main(self, tasks: VitalTasks) -> None:
        tasks.start_soon(self.call)
        await wait_all_tasks_blocked()
        tasks.start_soon(self.beside)
        await wait_all_tasks_blocked()
        assert self.deaths_at_end is None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(),
        MemoryError(),
        SystemExit(),
        KeyboardInterrupt(),
        GeneratorExit(),
        BaseExceptionGroup("", [SystemExit(), ValueError()]),
        trio.TrioInternalError(),
    ],
    ids=repr,
)
async def test_what_leaves_a_task_is_a_death_and_the_end_of_no_other(error: BaseException) -> None:
    async def beside() -> None:
        raise error

    life = Life(beside)
    await run_vital(life.main, life.die)
    assert life.deaths == [error]
    assert life.deaths_at_end == 1


async def test_so_is_what_leaves_the_main_one() -> None:
    error = ValueError()

    async def main(tasks: VitalTasks) -> None:
        tasks.start_soon(life.call)
        await wait_all_tasks_blocked()
        raise error

    life = Life(trio.sleep_forever)
    await run_vital(main, life.die)
    assert life.deaths == [error]
    assert life.deaths_at_end == 1


async def test_an_end_unwinds_all_and_is_no_death() -> None:
    async def beside() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError  # in the middle of an end in order

    life = Life(beside)
    with pytest.RaisesGroup(ValueError, flatten_subgroups=True):
        await run_vital(life.main, life.die)
    assert (life.deaths, life.deaths_at_end) == ([], 0)


async def test_a_cancellation_from_without_is_a_death_before_anything_is_unwound() -> None:
    """Trio cancels everything when one of its own tasks has failed."""

    async def fails() -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(scope.cancel)

    tasks: list[VitalTasks] = []

    async def main(started: VitalTasks) -> None:
        tasks.append(started)
        await life.main(started)
        await trio.sleep_forever()

    def die(error: BaseException) -> None:
        life.die(error)
        assert life.deaths_at_end is None
        tasks[0].end()

    life = Life(fails)
    with trio.CancelScope() as scope:
        await run_vital(main, die)
    assert [type(error) for error in life.deaths] == [trio.TrioInternalError]
    assert life.deaths_at_end == 1
