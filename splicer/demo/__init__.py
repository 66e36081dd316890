"""`splicer demo`: a small voice system on 127.0.0.x, to show what splicer does.

Pods and router run in this process; the edge is a real `splicer run`.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from splicer.demo.edge import Edge, running_edge
from splicer.demo.failure import DemoFailed, first_failure
from splicer.demo.guide import introduce, show_by_hand
from splicer.demo.places import EDGE_HOST, PODS
from splicer.demo.pod import Pod
from splicer.demo.router import run_router
from splicer.demo.story import Story
from splicer.demo.tour import take_tour
from splicer.demo.traffic import keep_calls
from splicer.demo.web import listening

__all__ = ["DemoFailed", "run_demo"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_demo(*, once: bool, port: int, calls: int = 0) -> None:
    """Run the demo until Ctrl-C.

    Args:
        once: end after the tour.
        port: the edge's TCP port; 0 takes any free one.
        calls: how many calls are kept alive after the tour.

    Raises:
        DemoFailed: an address is not available, or a step of the tour failed.
    """
    # Trio delivers the signals only while it runs; just before and after, Ctrl-C raises KeyboardInterrupt.
    with suppress(KeyboardInterrupt), TemporaryDirectory(prefix="splicer-demo-") as directory:
        try:
            trio.run(_demo, Path(directory), once, port, calls)
        except BaseExceptionGroup as group:
            raise first_failure(group) from None


async def _demo(directory: Path, once: bool, port: int, calls: int) -> None:
    story = Story()
    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as life:
                nursery.start_soon(_end_at_signal, signals, life)
                await _live(story, directory, once, port, calls)
            nursery.cancel_scope.cancel()
    story.title("The demo has ended.")


# Invariant: however this ends, the pods are stopped and the edge's process is reaped.
async def _live(story: Story, directory: Path, once: bool, port: int, calls: int) -> None:
    pods = {name: Pod(name, host) for name, host in PODS.items()}
    listening("the edge", EDGE_HOST, port, "take another with --port; 0 takes any free one").close()
    async with trio.open_nursery() as nursery:
        for pod in pods.values():
            await nursery.start(pod.run)
        await nursery.start(run_router)
        async with running_edge(directory, port) as edge:
            introduce(story, edge)
            stopped = await take_tour(story, edge, pods)
            if not once:
                nursery.start_soon(keep_calls, edge.address, calls)
                show_by_hand(story, edge, stopped, calls)
                await _follow(story, edge)
        nursery.cancel_scope.cancel()


async def _follow(story: Story, edge: Edge) -> None:
    while (entry := await edge.next_entry()) is not None:
        story.log(entry)
    await edge.ended()
    story.line("The edge has ended.")


async def _end_at_signal(signals: AsyncIterator[int], life: trio.CancelScope) -> None:
    async for _ in signals:
        life.cancel()
