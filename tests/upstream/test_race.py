"""Staggered connects, in virtual time: who is dialled when, who wins, and what is left of the others."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import cast

import pytest
import trio
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.errors import ConnectFailed, ConnectRefused, NoDescriptor, SplicerError
from splicer.http1.response import ResponseParser
from splicer.model import Endpoint
from splicer.net.stream import ByteStream
from splicer.upstream.balance import Balancer, Hold
from splicer.upstream.pod import PodLeg
from splicer.upstream.race import MOST, STAGGER, Race
from tests.kit.garbage import counting_garbage

NEVER = float("inf")
Fate = tuple[float, SplicerError | None]
"""After so many seconds this happens to a connect; None: it is connected."""


def pod(number: int) -> Endpoint:
    return Endpoint("app.test", f"10.0.0.{number}", 8000)


@define
class Ground:
    """The first endpoint's connect has begun a moment ago, and the others are dialled by the race."""

    fates: list[Fate]
    balancer: Balancer = field(factory=Balancer)
    begun: list[float] = field(factory=list)
    open: set[int] = field(factory=set)
    closed: Counter[int] = field(factory=Counter)
    most: int = 0
    full: list[Endpoint] = field(factory=list)
    shown: list[Endpoint] = field(factory=list)
    told: list[tuple[Endpoint, str]] = field(factory=list)

    def tell(self, endpoint: Endpoint, reason: str) -> None:
        self.told.append((endpoint, reason))

    async def meet(self, number: int) -> None:
        seconds, failure = self.fates[number]
        self.open.add(number)
        self.most = max(self.most, len(self.open))
        try:
            await trio.sleep_until(trio.current_time() + seconds)
            if failure is not None:
                raise type(failure)(*failure.args)
        finally:
            self.open.discard(number)

    async def dial(self, endpoint: Endpoint) -> PodLeg:
        number = int(endpoint.address.rpartition(".")[2])
        self.begun.append(trio.current_time())
        await self.meet(number)
        return PodLeg(
            cast("ByteStream", _Stream(number, self.closed)), endpoint, cast("ResponseParser", None), reused=False
        )

    def take(self, endpoint: Endpoint) -> Hold | None:
        limit = 0 if endpoint in self.full else None
        return self.balancer.take(endpoint, chosen=True, tunnel=True, limit=limit)

    async def run(self, seconds: float = 60) -> Race:
        race = Race(self.dial, self.balancer, STAGGER, self.shown.append, self.take, self.tell)
        others = [pod(number) for number in range(1, len(self.fates))]
        hold = self.balancer.hold(pod(0))
        hold.__enter__()
        with trio.move_on_after(seconds):
            await race.run(pod(0), hold, lambda: self.meet(0), others)
        return race


@define
class _Stream:
    number: int
    closed: Counter[int]

    def close(self) -> None:
        self.closed[self.number] += 1


HANGS: Fate = (NEVER, None)
REFUSED = ConnectRefused("no")


def refused(after: float = 0) -> Fate:
    return after, REFUSED


def connected(after: float = 0) -> Fate:
    return after, None


async def test_the_next_is_dialled_at_once_and_the_one_after_it_later(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS, HANGS, connected(1)])
    race = await ground.run()
    assert ground.begun == [0, STAGGER]
    assert (trio.current_time(), race.result().endpoint) == (1 + STAGGER, pod(2))


async def test_a_failure_starts_the_next_at_once(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS, refused(0.01), refused(), (0, ConnectFailed("no")), connected()])
    assert (await ground.run()).result().endpoint == pod(4)
    assert ground.told == [(pod(1), "connect_refused"), (pod(2), "connect_refused"), (pod(3), "connect_failed")]
    assert ground.begun == pytest.approx([0, 0.01, 0.01, 0.01])


async def test_who_is_full_is_left_out(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS, connected(), HANGS, connected(), connected(1)], full=[pod(1), pod(3)])
    race = await ground.run()
    assert ground.begun == [0, STAGGER]
    assert (ground.shown, race.result().endpoint) == ([pod(2), pod(4), pod(4)], pod(4))


async def test_if_all_others_are_full_the_first_has_its_time(autojump_clock: MockClock) -> None:
    race = await Ground([connected(5), HANGS], full=[pod(1)]).run()
    assert race.winner is not None
    assert race.winner.endpoint == pod(0)


async def test_the_first_may_still_win(autojump_clock: MockClock) -> None:
    ground = Ground([connected(0.1), HANGS, HANGS])
    race = await ground.run()
    assert race.winner is not None
    assert (race.winner.endpoint, ground.shown[-1]) == (pod(0), pod(0))
    assert race.outrun == [pod(1)]
    assert ground.balancer.live(pod(0)) == 1


async def test_the_fourth_connect_ends_the_first(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS, HANGS, HANGS, HANGS, HANGS, connected()])
    race = await ground.run()
    assert (ground.begun, ground.most) == ([0, 0.25, 0.5, 0.75, 1], MOST)
    assert race.result().endpoint == pod(5)
    assert set(race.outrun) == {pod(3), pod(4)}


async def test_who_is_waited_for_to_the_end(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS, HANGS, HANGS])
    race = await ground.run(seconds=5)
    assert (trio.current_time(), race.winner, ground.open, ground.shown[-1]) == (5, None, set(), pod(2))
    assert len(ground.balancer.reachability) == 3


async def test_the_last_failure_is_that_of_the_endpoint_shown(autojump_clock: MockClock) -> None:
    ground = Ground([(2, ConnectFailed("late")), refused(), refused()])
    race = await ground.run()
    assert ground.shown[-1] == pod(0)
    with pytest.raises(ConnectFailed, match=r"^late$"):
        race.result()


async def test_who_said_nothing_for_the_delay_is_tried_last_and_who_had_less_time_is_not(
    autojump_clock: MockClock,
) -> None:
    ground = Ground([HANGS, HANGS, connected(0.1)])
    race = await ground.run()
    every = [pod(number) for number in range(3)]
    assert ground.balancer.reachability.order(every) == [pod(2), pod(0), pod(1)]
    ground = Ground([HANGS, connected(0.2)])
    await ground.run()
    assert ground.balancer.reachability.order(every[:2]) == [pod(1), pod(0)]
    ground = Ground([connected(0.1), HANGS])
    race = await ground.run()
    assert (race.outrun, len(ground.balancer.reachability)) == ([pod(1)], 0)


async def test_who_says_nothing_for_the_delay_is_doubtful_for_other_calls_at_once(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS, HANGS, HANGS])
    every = [pod(number) for number in range(3)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ground.run)
        await trio.sleep(0.01)
        assert ground.balancer.reachability.order(every) == [pod(1), pod(2), pod(0)]
        await trio.sleep(STAGGER)
        assert ground.balancer.reachability.order(every) == [pod(2), pod(0), pod(1)]
        nursery.cancel_scope.cancel()


async def test_the_next_one_is_what_is_best_known_by_then(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS, HANGS, HANGS, HANGS, connected(0.1)])
    ground.balancer.reachability.silent(pod(2))
    ground.balancer.reachability.connected(pod(4))
    assert (await ground.run()).result().endpoint == pod(4)
    assert ground.shown == [pod(4), pod(4)]
    ground = Ground([HANGS, HANGS, HANGS, HANGS])
    ground.balancer.reachability.silent(pod(2))
    await ground.run(seconds=5)
    assert ground.shown == [pod(1), pod(3), pod(2)]


async def test_one_that_turns_out_to_be_well_is_dialled_at_once(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS, HANGS, HANGS, connected()])

    async def another_call() -> None:
        await trio.sleep(0.1)
        for number in (9, 3, 3):
            ground.balancer.reachability.connected(pod(number))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(another_call)
        race = await ground.run()
    assert race.result().endpoint == pod(3)
    assert ground.begun == [0, 0.1]


async def test_a_call_that_has_met_a_silent_one_has_the_others_probed(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS] * 5)
    await ground.run(seconds=0.1)
    assert ground.balancer.reachability.next_probe() == pod(4)
    ground = Ground([HANGS] * 4)
    await ground.run(seconds=0.1)
    assert ground.balancer.reachability.next_probe() is None, "the call itself comes to each of them soon"


async def test_without_a_descriptor_nobody_goes_on(autojump_clock: MockClock) -> None:
    ground = Ground([HANGS, (0, NoDescriptor("EMFILE")), connected()])
    race = await ground.run()
    assert (race.winner, ground.open, len(ground.begun)) == (None, set(), 1)
    with pytest.raises(NoDescriptor):
        race.result()
    assert ground.balancer.reachability.order([pod(1), pod(2)]) == [pod(1), pod(2)]


async def test_one_cancellation_is_one_exception(autojump_clock: MockClock) -> None:
    caught = None
    with trio.move_on_after(0.6):
        try:
            await Ground([HANGS] * 4).run(seconds=NEVER)
        except BaseException as error:
            caught = type(error)
            raise
    assert caught is trio.Cancelled


async def test_a_bug_closes_what_has_been_connected(autojump_clock: MockClock) -> None:
    class Broken(Ground):
        async def dial(self, endpoint: Endpoint) -> PodLeg:
            try:
                return await Ground.dial(self, endpoint)
            finally:
                if endpoint == pod(1):
                    raise ZeroDivisionError

    ground = Broken([HANGS, HANGS, connected()])
    with pytest.raises(ExceptionGroup) as failure:
        await ground.run()
    assert failure.group_contains(ZeroDivisionError)
    assert (len(ground.balancer.loads), ground.open, ground.closed) == (0, set(), {2: 1})


fates = st.tuples(
    st.sampled_from([0, 0.01, 0.1, 0.25, 0.26, 0.5, 0.75, 1, 3, NEVER]),
    st.sampled_from([None, REFUSED, ConnectFailed("unreachable")]),
)


@given(st.lists(fates, min_size=2, max_size=12))
def test_laws(several: list[Fate]) -> None:
    """However the connects go: the order, at most three at once, one winner, and nothing is left of the others."""

    async def play() -> None:
        ground = Ground(several)
        race = await ground.run(seconds=10)
        begun = ground.begun
        assert ground.most <= MOST
        assert begun == sorted(begun)
        assert all(later <= sooner + STAGGER for sooner, later in pairwise(begun))
        assert ground.open == set()
        live = {key: own.total for key, own in ground.balancer.loads._own.items()}
        if race.winner is None:
            assert len(begun) == len(several) - 1, "nobody was left out"
            assert (live, ground.closed) == ({}, {})
        else:
            won = race.winner.endpoint
            assert live == {(won.address, won.port): 1}
            assert sum(ground.closed.values()) <= 1, "two may be connected at the same moment"
            assert won not in race.outrun
            assert ground.shown[-1] == won

    trio.run(play, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    "several", [[HANGS, refused(), refused()], [refused(1), refused(), refused()], [HANGS, refused(), connected()]]
)
def test_no_garbage_is_left(several: list[Fate]) -> None:
    async def play() -> None:
        race = await Ground(several).run(seconds=2)
        try:
            if race.winner is not None or trio.current_time() < 2:
                race.result()
        except SplicerError:
            pass

    async def count() -> int:
        await play()
        with counting_garbage() as garbage:
            await play()
            return garbage()

    assert trio.run(count, clock=MockClock(autojump_threshold=0)) == 0
