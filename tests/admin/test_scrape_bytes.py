"""The bytes of tunnels in the text for Prometheus: they never fall, whoever dies or is silent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.ipc.board import Column
from splicer.ipc.queries import AskCounts, Question
from tests.admin.counting import Counter, Start
from tests.admin.page import Both, Page, scraper
from tests.admin.rig import FakeWorker, Rig, counts, endpoint, rig
from tests.kit.laws import examples

_AUTOJUMP_THRESHOLD = 0.05  # real seconds in which nothing happens, after which the clock jumps


class Slots:
    """Two slots whose workers may be killed, and what is true of their tunnels.

    A worker is a process that counts, and a channel on which its live tunnels are told of.
    """

    def __init__(self, admin: Rig, directory: Path, start: Start) -> None:
        self._admin = admin
        self._directory = directory
        self._start = start
        self.scrape = scraper(admin, directory)
        self._processes: dict[int, Counter] = {}
        self._channels: dict[int, FakeWorker] = {}
        self.live: dict[int, dict[int, Both]] = {1: {}, 2: {}}  # by slot, by tunnel
        self.between: dict[int, Both] = {}  # a dead worker's, that nobody has adopted yet
        self._closed = (0, 0)
        self.seen = (0, 0)
        self._meanwhile: tuple[int, Callable[[], None], Callable[[], None]] | None = None
        self._held: list[tuple[int, FakeWorker, Question[Any]]] = []
        for slot in (1, 2):
            self._revive(slot)

    @property
    def true(self) -> Both:
        every = [self._closed, *self.live[1].values(), *self.live[2].values(), *self.between.values()]
        return sum(one[0] for one in every), sum(one[1] for one in every)

    def _revive(self, slot: int) -> None:
        self._processes[slot] = self._start(self._directory, slot + 1)
        self._channels[slot] = self._admin.worker(slot, self._answer)

    def meanwhile(self, slot: int, before: Callable[[], None], after: Callable[[], None] = lambda: None) -> None:
        """In the next scrape this happens before, or after, a worker answers; the other one answers after all that."""
        self._meanwhile = slot, before, after

    def _answer(self, worker: FakeWorker, question: Question[Any]) -> None:
        slot = next(slot for slot, one in self._channels.items() if one is worker)
        if not isinstance(question, AskCounts):
            worker.reply(question)
        elif self._meanwhile is None:
            self._tell(slot, worker, question)
        elif self._meanwhile[0] != slot:
            self._held.append((slot, worker, question))
        else:
            _, before, after = self._meanwhile
            self._meanwhile = None
            before()
            if self._channels[slot] is worker:  # else it is dead
                self._tell(slot, worker, question)
            after()
            while self._held:
                self._tell(*self._held.pop())

    def _tell(self, slot: int, worker: FakeWorker, question: Question[Any]) -> None:
        moved = self.live[slot].values()
        to_pod, to_client = sum(one[0] for one in moved), sum(one[1] for one in moved)
        worker.rows["counts"] = counts(("call", "pod-1", len(moved)), to_pod=to_pod, to_client=to_client)
        worker.reply(question)

    def open(self, slot: int, tunnel: int) -> None:
        self.live[slot][tunnel] = (0, 0)
        self._processes[slot].tell("opened")

    def move(self, slot: int, tunnel: int, more: Both) -> None:
        before = self.live[slot][tunnel]
        self.live[slot][tunnel] = before[0] + more[0], before[1] + more[1]

    def close(self, slot: int, tunnel: int) -> None:
        moved = self.live[slot].pop(tunnel)
        self._closed = self._closed[0] + moved[0], self._closed[1] + moved[1]
        self._processes[slot].tell("closed", to_pod=moved[0], to_client=moved[1])

    def kill(self, slot: int) -> None:
        self._processes[slot].kill()
        self._channels[slot].die()
        self.between |= self.live[slot]
        self.live[slot] = {}
        self._admin.board.clear(slot + 1)
        self._revive(slot)

    def adopt(self, slot: int) -> None:
        self._admin.board.row(slot + 1)[Column.ADOPTED] += len(self.between)
        self.live[slot] |= self.between
        self.between = {}

    def hand_over(self, slot: int) -> None:
        self.between = self.live[slot]
        self.live[slot] = {}
        self.adopt(3 - slot)

    async def look(self, *, whole: bool = True) -> None:
        """A scrape tells no more than what is true, never less than before, and all if nothing was under way."""
        shown = Page(await self.scrape()).bytes
        whole = whole and not self.between
        for index in (0, 1):
            assert self.seen[index] <= shown[index] <= self.true[index]
            assert not whole or shown[index] == self.true[index]
        self.seen = shown


async def test_bytes_are_those_of_closed_and_of_live_tunnels(tmp_path: Path, start: Start) -> None:
    async with rig(None) as admin:
        slots = Slots(admin, tmp_path, start)
        slots.open(1, 1)
        slots.move(1, 1, (160, 320))
        slots.open(2, 2)
        slots.move(2, 2, (1, 2))
        assert Page(await slots.scrape()).bytes == (161, 322)
        slots.close(1, 1)
        slots.move(2, 2, (10, 20))
        assert Page(await slots.scrape()).bytes == (171, 342)
        slots.close(2, 2)
        assert Page(await slots.scrape()).bytes == (171, 342)


async def test_bytes_do_not_fall_while_tunnels_are_between_two_workers(tmp_path: Path, start: Start) -> None:
    async with rig(None) as admin:
        slots = Slots(admin, tmp_path, start)
        slots.open(1, 1)
        slots.move(1, 1, (100, 200))
        assert Page(await slots.scrape()).bytes == (100, 200)
        slots.kill(1)
        assert Page(await slots.scrape()).bytes == (100, 200)
        slots.open(2, 2)
        slots.move(2, 2, (30, 300))
        assert Page(await slots.scrape()).bytes == (100, 300)
        slots.adopt(2)
        assert Page(await slots.scrape()).bytes == (130, 500)


async def test_another_admin_process_tells_no_less(tmp_path: Path, start: Start) -> None:
    async with rig(None) as admin:
        slots = Slots(admin, tmp_path, start)
        slots.open(1, 1)
        slots.move(1, 1, (100, 200))
        await slots.scrape()
        slots.kill(1)
        slots.scrape = scraper(admin, tmp_path)
        assert Page(await slots.scrape()).bytes == (100, 200)


async def test_a_tunnel_that_is_told_of_by_two_workers_is_not_counted_twice(tmp_path: Path, start: Start) -> None:
    async with rig(None) as admin:
        slots = Slots(admin, tmp_path, start)
        slots.open(1, 1)
        slots.move(1, 1, (100, 200))
        slots.meanwhile(1, lambda: None, lambda: slots.hand_over(1))
        await slots.look(whole=False)
        await slots.look()


async def test_a_worker_that_does_not_answer_takes_nothing_away(
    tmp_path: Path, start: Start, mock_clock: MockClock
) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    start(tmp_path, 2).tell("opened")
    async with rig() as admin:
        scrape = scraper(admin, tmp_path)
        silent = admin.worker(1, counts=counts(("call", "pod-1", 1), to_pod=100), endpoints=[])
        admin.worker(2, counts=counts(("call", "pod-1", 2), to_pod=10), endpoints=[endpoint("pod-1", "127.0.0.11")])
        assert Page(await scrape()).bytes == (110, 0)
        silent.mute = True
        before = trio.current_time()
        page = Page(await scrape())
        assert trio.current_time() == pytest.approx(before + 1), "both questions are asked at once"
        assert page.bytes == (110, 0)
        assert page["tunnels_active call pod-1"] == 2
        assert page["endpoints pod up"] == 1
        silent.mute = False
        assert Page(await scrape())["tunnels_active call pod-1"] == 3


_some = st.integers(0, 1 << 40)
_step = st.one_of(
    st.tuples(st.just("open"), st.integers(1, 2)),
    st.tuples(st.just("move"), st.tuples(_some, _some)),
    st.tuples(st.just("close"), st.none()),
    st.tuples(st.just("kill"), st.integers(1, 2)),
    st.tuples(st.just("adopt"), st.integers(1, 2)),
    st.tuples(st.just("look"), st.none()),
    st.tuples(st.just("look while one closes"), st.none()),
    st.tuples(st.just("look while all change their worker"), st.integers(1, 2)),
    st.tuples(st.just("look while one dies"), st.integers(1, 2)),
    st.tuples(st.just("look while another takes a dead one's place"), st.integers(1, 2)),
)


@settings(max_examples=examples(50))
@given(st.lists(_step, max_size=16), st.data())
def test_bytes_never_fall_never_exceed_the_truth_and_are_exact_in_the_end(
    start: Start, steps: list[tuple[str, Any]], data: st.DataObject
) -> None:
    async def run() -> None:
        with TemporaryDirectory() as directory:
            async with rig(None) as admin:
                slots = Slots(admin, Path(directory), start)
                for number, (what, argument) in enumerate(steps):
                    await _take(slots, number, what, argument)
                slots.adopt(1)
                await slots.look()
                for slot in (1, 2):
                    for tunnel in list(slots.live[slot]):
                        slots.close(slot, tunnel)
                await slots.look()

    async def _take(slots: Slots, number: int, what: str, argument: Any) -> None:
        tunnels = [(slot, tunnel) for slot in (1, 2) for tunnel in slots.live[slot]]
        slot, tunnel = data.draw(st.sampled_from(tunnels)) if tunnels else (0, 0)
        match what:
            case "open":
                slots.open(argument, number)
            case "move" if tunnels:
                slots.move(slot, tunnel, argument)
            case "close" if tunnels:
                slots.close(slot, tunnel)
            case "kill":
                slots.kill(argument)
            case "adopt":
                slots.adopt(argument)
            case "look":
                await slots.look()
            case "look while one closes" if tunnels:
                slots.meanwhile(slot, lambda: slots.close(slot, tunnel))
                await slots.look(whole=False)
            case "look while all change their worker" if not slots.between:
                slots.meanwhile(argument, lambda: None, lambda: slots.hand_over(argument))
                await slots.look(whole=False)
            case "look while one dies":
                slots.meanwhile(argument, lambda: slots.kill(argument))
                await slots.look(whole=False)
            case "look while another takes a dead one's place":
                slots.meanwhile(argument, lambda: slots.kill(argument), lambda: slots.adopt(3 - argument))
                await slots.look(whole=False)

    trio.run(run)
