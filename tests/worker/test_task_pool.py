"""Tasks that serve one connection after another, as if each had its own."""

from __future__ import annotations

import gc
import weakref

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.worker import task_pool
from splicer.worker.task_pool import TaskPool


class Connection:
    def __init__(self) -> None:
        self.ends = trio.Event()
        self.task: trio.lowlevel.Task | None = None

    async def serve(self) -> None:
        self.task = trio.lowlevel.current_task()
        await self.ends.wait()


async def served(pool: TaskPool) -> Connection:
    connection = Connection()
    pool.start_soon(connection.serve)
    await wait_all_tasks_blocked()
    assert connection.task is not None
    return connection


async def test_connections_that_are_open_together_have_tasks_of_their_own(nursery: trio.Nursery) -> None:
    pool = TaskPool(nursery.start_soon)
    one, other = await served(pool), await served(pool)
    assert one.task is not other.task
    assert pool.idle == 0


async def test_a_task_whose_connection_is_over_takes_the_next_one(nursery: trio.Nursery) -> None:
    pool = TaskPool(nursery.start_soon)
    one = await served(pool)
    one.ends.set()
    await wait_all_tasks_blocked()
    assert pool.idle == 1
    other = await served(pool)
    assert other.task is one.task
    assert pool.idle == 0


async def test_two_that_come_at_once_do_not_get_the_same_task(nursery: trio.Nursery) -> None:
    pool = TaskPool(nursery.start_soon)
    one = await served(pool)
    one.ends.set()
    await wait_all_tasks_blocked()
    both = [Connection(), Connection()]
    for connection in both:
        pool.start_soon(connection.serve)
    await wait_all_tasks_blocked()
    assert one.task in {connection.task for connection in both}
    assert len({connection.task for connection in both}) == 2


async def test_arguments_go_to_their_own_connection(nursery: trio.Nursery) -> None:
    pool = TaskPool(nursery.start_soon)
    seen: list[tuple[int, str]] = []

    async def serve(number: int, word: str) -> None:
        seen.append((number, word))

    for number in range(5):
        pool.start_soon(serve, number, "x" * number)
        await wait_all_tasks_blocked()
    assert seen == [(number, "x" * number) for number in range(5)]
    assert pool.idle == 1


async def test_only_so_many_idle_tasks_stay(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_pool, "_MOST", 3)
    pool = TaskPool(nursery.start_soon)
    connections = [await served(pool) for _ in range(10)]
    for connection in connections:
        connection.ends.set()
    await wait_all_tasks_blocked()
    assert pool.idle == 3
    assert len(nursery.child_tasks) == 3


async def test_an_idle_task_keeps_nothing_of_its_connection(nursery: trio.Nursery) -> None:
    pool = TaskPool(nursery.start_soon)
    for _ in range(2):  # a new task, and one that had another connection before
        connection = await served(pool)
        gone = weakref.ref(connection)
        connection.ends.set()
        await wait_all_tasks_blocked()
        gc.disable()
        try:
            del connection
            assert gone() is None
        finally:
            gc.enable()


async def test_idle_tasks_end_with_their_nursery_and_are_not_used_again() -> None:
    async with trio.open_nursery() as nursery:
        pool = TaskPool(nursery.start_soon)
        one = await served(pool)
        one.ends.set()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert pool.idle == 0


async def test_an_error_of_a_connection_is_its_tasks() -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(ExceptionGroup) as raised:
        async with trio.open_nursery() as nursery:
            TaskPool(nursery.start_soon).start_soon(fail)
    assert raised.value.subgroup(RuntimeError)
