"""A client connection without a request outlives its worker, or is served once more and told that it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from tests.e2e.upgrade.upgrading import at_rest
from tests.kit.edge import Edge, running
from tests.kit.fleet import only, several, slot_of
from tests.kit.pods import http_pod, ok
from tests.kit.site import Site
from tests.kit.vaults import vault_at
from tests.kit.wire import Wire, dial, request, until
from tests.kit.workers import worker_pids


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site(pods=4)
    # The silent one may wait for two upgrades on a busy machine.
    with running(several(site, deadlines='head = "3m"\nkeepalive = "3m"'), site) as edge:
        yield edge


@pytest.fixture
def own_edge() -> Iterator[Edge]:
    """For those who end it."""
    site = Site(pods=2)
    with running(several(site), site) as edge:
        yield edge


@asynccontextmanager
async def idling(edge: Edge, slot: int = 1) -> AsyncIterator[Wire]:
    """A connection to the worker of a slot, on which a request has been answered."""
    async with AsyncExitStack() as stack:
        with only(edge, slot):
            wire = await stack.enter_async_context(dial(edge.address))
            assert await goes_on(wire)
        yield wire


async def goes_on(wire: Wire, raw: bytes = request("GET", "/health")) -> bool:
    """Whether another request may follow this one, which is answered."""
    await wire.send(raw)
    answer = await wire.reply()
    assert answer.status in (200, 503)
    return answer.values("connection") != [b"close"]


@pytest.mark.parametrize(
    ("signum", "word"),
    [(signal.SIGUSR1, "recycled"), pytest.param(signal.SIGUSR2, "upgraded", marks=pytest.mark.slow)],
)
async def test_it_goes_on_with_the_next_worker(edge: Edge, signum: signal.Signals, word: str) -> None:
    async with idling(edge, 1) as one, idling(edge, 2) as two, dial(edge.address) as silent:
        await until(lambda: slot_of(edge, silent))
        for _ in range(2):
            before = set(worker_pids(edge.pid).values())
            edge.mark()
            edge.signal(signum)
            await edge.line(word)
            await at_rest(edge)
            assert not before & set(worker_pids(edge.pid).values())
            for wire in (one, two, silent):
                assert await goes_on(wire)


async def test_what_it_sends_while_it_changes_hands_is_answered(edge: Edge) -> None:
    async with idling(edge) as wire:
        pid = worker_pids(edge.pid)[1]
        os.kill(pid, signal.SIGSTOP)  # it will find both at once
        edge.signal(signal.SIGUSR1)
        await until(lambda: worker_pids(edge.pid)[1] != pid)
        await wire.send(request("GET", "/health"))
        await trio.sleep(0.1)
        os.kill(pid, signal.SIGCONT)
        assert (await wire.reply()).status == 200
        await edge.line("recycled")


@pytest.mark.slow
@pytest.mark.parametrize("read", [True, False])
async def test_nobody_who_posts_through_recycles_is_left_without_an_answer(
    edge: Edge, nursery: trio.Nursery, *, read: bool
) -> None:
    """Also when the log's reader has stopped, which a worker that ends must not wait for."""
    place, answers, over = edge.site.take(), [0], trio.Event()
    await http_pod(nursery, place.address, place.port, ok(b"ok"))
    raw = request("POST", f"/http/{place.name}/", body=b"hi")

    async def post() -> None:
        while not over.is_set():
            async with dial(edge.address) as wire:
                while not over.is_set() and await goes_on(wire, raw):
                    answers[0] += 1
                    await trio.sleep(0.01)

    async with trio.open_nursery() as clients:
        if not read:
            edge.reading.clear()
            await fill_the_log(edge)
        for _ in range(8):
            clients.start_soon(post)
        for _ in range(8):
            before = worker_pids(edge.pid)
            edge.signal(signal.SIGUSR1)
            await until(lambda before=before: _are_new(edge, before))  # type: ignore[misc]  # mypy knows no such lambda
            await at_rest(edge)
        over.set()
    edge.reading.set()
    assert answers[0] > 100


def _are_new(edge: Edge, before: dict[int, int]) -> bool:
    now = worker_pids(edge.pid)
    return now.keys() == before.keys() and not set(now.values()) & set(before.values())


async def fill_the_log(edge: Edge) -> None:
    """Until no more of it is taken."""
    pipe = Path(f"/proc/{edge.pid}/fd/1")
    fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(fd, b"{}\n")
    os.close(fd)


async def test_at_a_drain_its_last_request_is_answered_and_who_has_none_is_closed_in_order(own_edge: Edge) -> None:
    edge = own_edge
    async with idling(edge, 1) as one, idling(edge, 2) as two, dial(edge.address) as silent:
        await until(lambda: slot_of(edge, silent))
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        await trio.sleep(1)
        assert not await goes_on(one)
        for wire in (one, two, silent):
            assert await wire.rest() == b""
        assert await edge.exit_code() == 0


async def test_its_last_request_is_answered_when_the_supervisor_is_dead(own_edge: Edge) -> None:
    edge = own_edge
    async with idling(edge, 1) as one, idling(edge, 2) as two:
        pids = worker_pids(edge.pid).values()
        edge.killed = True
        os.kill(edge.pid, signal.SIGKILL)
        await edge.wait_lines(2, "supervisor_lost")
        assert not await goes_on(one)
        assert await two.rest() == b""
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    await edge.expected(2, "supervisor_lost")


async def test_its_last_request_is_answered_at_a_handover(tmp_path: Path) -> None:
    site = Site(pods=2)
    with (
        vault_at(tmp_path / "vault.sock") as vault,
        running(several(site), site, options=["--vault", str(vault.path)]) as edge,
    ):
        async with idling(edge, 1) as one, idling(edge, 2) as two:
            edge.signal(signal.SIGQUIT)
            await edge.line("handover")
            assert not await goes_on(one)
            assert await two.rest() == b""
        assert await edge.exit_code() == 0
