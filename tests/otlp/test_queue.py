from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from splicer.otlp.packets import spans_in
from splicer.otlp.queue import MOST_SPANS, SpanQueue


def packet(spans: int) -> bytes:
    return bytes((spans,))


@given(st.lists(st.integers(0, 255), max_size=80), st.integers(1, 600))
def test_nothing_is_lost_and_the_order_stays(sizes: list[int], most: int) -> None:
    queue = SpanQueue()
    kept = [(slot, packet(size)) for slot, size in enumerate(sizes) if queue.put(slot, packet(size))]
    assert queue.spans == sum(spans_in(one) for _, one in kept) <= MOST_SPANS
    taken = []
    while batch := queue.take(most):
        assert len(batch) == 1 or sum(spans_in(one) for _, one in batch) <= most
        taken += batch
    assert taken == kept
    assert queue.spans == 0


def test_it_is_full_when_it_has_so_many() -> None:
    queue = SpanQueue()
    assert all(queue.put(1, packet(128)) for _ in range(MOST_SPANS // 128))
    assert not queue.put(1, packet(1))
    queue.take(128)
    assert queue.put(1, packet(128))
    assert queue.spans == MOST_SPANS


async def test_a_wait_ends_when_there_are_enough(nursery: trio.Nursery) -> None:
    queue = SpanQueue()
    over: list[int] = []

    async def wait(enough: int) -> None:
        await queue.wait(enough)
        over.append(queue.spans)

    nursery.start_soon(wait, 3)
    await wait_all_tasks_blocked()
    queue.put(1, packet(2))
    await wait_all_tasks_blocked()
    assert not over
    queue.put(1, packet(1))
    await wait_all_tasks_blocked()
    assert over == [3]
    await queue.wait(1)


async def test_nobody_waits_after_a_word(nursery: trio.Nursery) -> None:
    queue = SpanQueue()
    nursery.start_soon(queue.wait, 3)
    await wait_all_tasks_blocked()
    queue.hurry()
    with trio.fail_after(30):
        await queue.wait(1)
    await wait_all_tasks_blocked()
    assert not nursery.child_tasks
