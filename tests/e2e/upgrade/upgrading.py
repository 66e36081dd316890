"""An edge that is upgraded, and calls that go on meanwhile."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from operator import gt

import trio

from tests.kit.edge import Edge, Line, session_of
from tests.kit.fleet import echoes, tunnel_at
from tests.kit.site import Place
from tests.kit.wire import Wire, until
from tests.kit.workers import worker_pids


async def at_rest(edge: Edge, workers: int = 2, *others: str) -> None:
    """No worker leaves, and no upgrade is under way."""
    wanted = {f"splicer: worker {slot}" for slot in range(1, workers + 1)} | {
        "splicer: template",
        "splicer: spare",
        *others,
    }
    await until(lambda: {title for pid, title in session_of(edge.pid) if pid != edge.pid} == wanted)


async def upgrade(edge: Edge) -> list[Line]:
    """SIGUSR2, and what the log says of it until it is over."""
    edge.mark()
    edge.signal(signal.SIGUSR2)
    return await upgraded(edge)


async def upgraded(edge: Edge) -> list[Line]:
    """What the log says of an upgrade until it is over."""
    await edge.line(("upgraded", "upgrade_failed"))
    return edge.find(("upgrade", "upgraded", "upgrade_fault", "upgrade_failed"))


def events(lines: list[Line]) -> set[str]:
    return {line["event"] for line in lines}


class Talk:
    """Frames that go on all the time.

    Args:
        wires: where.
    """

    def __init__(self, wires: list[Wire]) -> None:
        self.counts = [0] * len(wires)
        self.wires = wires

    async def run(self, number: int) -> None:
        while True:
            await echoes(self.wires[number], b"steady")
            self.counts[number] += 1
            await trio.sleep(0.02)

    async def goes_on(self) -> None:
        """Everywhere."""
        before = list(self.counts)
        await until(lambda: all(map(gt, self.counts, before)))


@asynccontextmanager
async def talking(edge: Edge, place: Place) -> AsyncIterator[Talk]:
    """A call at each worker, and frames in it all the time; in the end they still work."""
    async with AsyncExitStack() as stack:
        slots = list(worker_pids(edge.pid))
        wires = [await stack.enter_async_context(tunnel_at(edge, slot, f"/ws/{place.name}/{slot}")) for slot in slots]
        talk = Talk(wires)
        async with trio.open_nursery() as nursery:
            for number in range(len(wires)):
                nursery.start_soon(talk.run, number)
            yield talk
            await talk.goes_on()
            nursery.cancel_scope.cancel()


def renamed(name: str) -> dict[str, tuple[str, str]]:
    """Code that answers in another way."""
    return {"session/respond.py": ("{HTTPStatus(status).phrase}", name)}
