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
    kept = [(slot, packet(size)) for slot, size in enumerate(sizes) if not queue.put(slot, [packet(size)]) or not size]
    assert queue.spans == sum(spans_in(one) for _, one in kept) <= MOST_SPANS
    taken = []
    while batch := queue.take(most):
        assert len(batch) == 1 or sum(spans_in(one) for _, one in batch) <= most
        taken += batch
    assert taken == kept
    assert queue.spans == 0


def test_what_still_fits_is_taken() -> None:
    queue = SpanQueue()
    assert queue.put(1, [packet(255)] * 32) == 0
    assert queue.put(2, [packet(100), packet(32), b"", packet(7)]) == 107
    assert [slot for slot, _ in queue.take(MOST_SPANS)] == [1] * 32 + [2, 2]


def test_it_is_full_when_it_has_so_many() -> None:
    queue = SpanQueue()
    assert queue.put(1, [packet(128)] * (MOST_SPANS // 128)) == 0
    assert queue.put(1, [packet(1), packet(2)]) == 3
    queue.take(128)
    assert queue.put(1, [packet(128)]) == 0
    assert queue.spans == MOST_SPANS


async def test_a_wait_ends_when_there_are_enough(nursery: trio.Nursery) -> None:
    queue = SpanQueue()
    over: list[int] = []

    async def wait(enough: int) -> None:
        await queue.wait(enough)
        over.append(queue.spans)

    nursery.start_soon(wait, 3)
    await wait_all_tasks_blocked()
    queue.put(1, [packet(2)])
    await wait_all_tasks_blocked()
    assert not over
    queue.put(1, [packet(1)])
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
