"""The loads of endpoints over all workers: never more than a limit, and nothing that is forgotten."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.load_board import Elsewhere, LoadBoard
from splicer.model import Endpoint
from splicer.upstream.balance import Balancer, Hold
from splicer.upstream.loads import Alone, Loads, hash_of

PODS = [Endpoint("any-pod", f"10.0.0.{number}", 8000) for number in range(1, 6)]
POD = PODS[0]
KEY = (POD.address, POD.port)
WORKERS = 3


@contextmanager
def workers(clock: Callable[[], float] = lambda: 0.0) -> Iterator[list[Balancer]]:
    board = LoadBoard(WORKERS + 1)
    yield [Balancer(clock=clock, shared=board.row(number)) for number in range(1, WORKERS + 1)]
    os.close(board.fd)


def call(balancer: Balancer, limit: int | None = None, endpoint: Endpoint = POD, *, tunnel: bool = True) -> Hold | None:
    return balancer.take(endpoint, chosen=False, tunnel=tunnel, limit=limit)


def test_a_place_is_free_again_when_its_call_is_over() -> None:
    with workers() as (one, two, three):
        holds = [call(one, 2), call(two, 2), call(three, 2)]
        assert [hold is not None for hold in holds] == [True, True, False]
        assert holds[0] is not None
        holds[0].opened()
        assert call(three, 2) is None
        holds[0].drop()
        assert call(three, 2) is not None
        assert call(three, 1, PODS[1]) is not None


def test_calls_and_plain_requests_have_limits_of_their_own() -> None:
    with workers() as (one, two, _):
        assert call(one, 1) is not None
        assert call(two, 1, tunnel=False) is not None
        assert call(one, 1, tunnel=False) is None
        assert call(two, 1) is None
        assert (one.live(POD), two.live(POD)) == (1, 1)
        assert [one.loads.everywhere(KEY, tunnel=tunnel) for tunnel in (True, False)] == [1, 1]


def test_adopted_tunnels_count_also_above_the_limit() -> None:
    with workers() as (one, two, _):
        for _ in range(3):
            one.adopt(POD)
        hold = one.adopt(POD)
        assert call(two, 4) is None
        hold.drop()
        assert call(two, 4) is not None


def test_what_was_left_to_another_worker_is_counted_here_no_more() -> None:
    with workers() as (one, two, _):
        left, asking = call(one), call(one)
        assert left is not None
        assert asking is not None
        left.opened()
        one.loads.leave_all()
        assert (one.live(POD), two.loads.everywhere(KEY, tunnel=True)) == (1, 2)
        two.adopt(POD)
        assert two.loads.everywhere(KEY, tunnel=True) == 2
        left.drop()  # its task ends all the same
        asking.opened()
        assert two.loads.everywhere(KEY, tunnel=True) == 2
        asking.drop()
        assert (two.loads.everywhere(KEY, tunnel=True), len(one.loads)) == (1, 0)


def test_the_least_busy_over_all_workers_comes_first() -> None:
    now = [0.0]
    with workers(lambda: now[0]) as (one, two, _):
        for number, pod in enumerate(PODS):
            for _ in range(number):
                call(one, endpoint=pod)
        assert two.order("any-pod", "least-tunnels", PODS[::-1]) == PODS
        for _ in range(9):
            call(two, endpoint=PODS[0], tunnel=False)
        assert two.order("any-pod", "least-tunnels", PODS) == [*PODS[1:], PODS[0]], "its own count at once"
        now[0] += 1
        assert one.order("any-pod", "least-tunnels", PODS) == [*PODS[1:], PODS[0]], "the others' a little later"


def test_who_is_full_is_left_out() -> None:
    now = [0.0]
    with workers(lambda: now[0]) as (one, two, _):
        assert two.loads.with_room(PODS, 1, tunnel=True) == PODS
        holds = [call(one, endpoint=pod) for pod in PODS]
        now[0] += 1
        assert two.loads.with_room(PODS, 1, tunnel=True) == []
        assert two.loads.with_room(PODS, 1, tunnel=False) == PODS
        assert two.loads.with_room(PODS[:1], 1, tunnel=True) == []
        assert holds[2] is not None
        holds[2].drop()
        assert two.loads.with_room(PODS, 1, tunnel=True) == [PODS[2]], "known at once, since there was no other"


def test_two_workers_that_ask_at_the_same_time_never_both_get_the_last_place() -> None:
    results = []

    class Meanwhile(Alone):
        def others(self, key: int) -> tuple[int, int]:
            results.append(call(two, 1) is not None)
            return two.live(POD), 0

    class First(Alone):
        def others(self, key: int) -> tuple[int, int]:
            return one.live(POD), 0

    one, two = Balancer(clock=lambda: 0.0, shared=Meanwhile()), Balancer(clock=lambda: 0.0, shared=First())
    results.append(call(one, 1) is not None)
    assert results == [False, True]


def test_nobody_is_refused_because_there_is_no_room_to_tell_the_others() -> None:
    class Full(Alone):
        def tell(self, key: int, tunnels: int, opening: int, requests: int) -> bool:
            return False

    complaints: list[None] = []
    balancer = Balancer(clock=lambda: 0.0, shared=Full(), full=lambda: complaints.append(None))
    hold = call(balancer, 1)
    assert hold is not None
    assert call(balancer, 1) is None, "its own calls count"
    hold.drop()
    assert call(balancer, 1) is not None
    assert complaints


def test_the_others_are_read_again_if_they_have_changed() -> None:
    @define
    class Told(Alone):
        looks: int = 0
        found: list[Elsewhere | None] = field(factory=list)

        def all_others(self) -> Elsewhere | None:  # type: ignore[override]  # nobody else is there in the base
            self.looks += 1
            return self.found.pop() if self.found else None

    now, shared = [0.0], Told()
    loads = Loads(shared, lambda: now[0])
    for _ in range(3):
        assert loads.with_room(PODS, 1, tunnel=True) == PODS
    assert shared.looks == 1
    now[0] += 0.1
    shared.found.append(Elsewhere({hash_of((pod.address, pod.port)): 1 for pod in PODS}, {}))
    assert loads.with_room(PODS, 1, tunnel=True) == []
    shared.found.append(Elsewhere({}, {}))
    loads.look_again()
    assert loads.with_room(PODS, 1, tunnel=True) == PODS


steps = st.lists(
    st.tuples(st.integers(0, WORKERS - 1), st.sampled_from(["take", "take", "open", "fail", "end"])), max_size=40
)


@given(steps, st.integers(1, 4))
def test_never_more_than_the_limit_over_all_workers(steps: list[tuple[int, str]], limit: int) -> None:
    with workers() as balancers:
        asking: list[list[Hold]] = [[] for _ in balancers]
        live: list[list[Hold]] = [[] for _ in balancers]
        for worker, step in steps:
            match step:
                case "take":
                    there = sum(map(len, (*asking, *live)))
                    hold = call(balancers[worker], limit)
                    assert (hold is None) is (there >= limit)
                    asking[worker] += [] if hold is None else [hold]
                case "open" if asking[worker]:
                    live[worker].append(asking[worker].pop())
                    live[worker][-1].opened()
                case "fail" if asking[worker]:
                    asking[worker].pop().drop()
                case "end" if live[worker]:
                    live[worker].pop().drop()
            count = sum(map(len, (*asking, *live)))
            assert {balancer.loads.everywhere(KEY, tunnel=True) for balancer in balancers} == {count}
            assert count <= limit


@given(st.lists(st.tuples(st.integers(0, WORKERS - 1), st.sampled_from(PODS)), max_size=40))
def test_calls_of_all_workers_are_spread_evenly(calls: list[tuple[int, Endpoint]]) -> None:
    """Whatever each worker had before: what comes next fills up who has least, whichever worker gets it."""
    now = [0.0]
    with workers(lambda: now[0]) as balancers:
        live = Counter(pod for _, pod in calls)
        for worker, pod in calls:
            call(balancers[worker], endpoint=pod)
        for number in range(60):
            now[0] += 1
            balancer = balancers[number % WORKERS]
            [first, *_] = balancer.order("any-pod", "least-tunnels", PODS)
            assert live[first] == min(live[pod] for pod in PODS)
            call(balancer, endpoint=first)
            live[first] += 1


@pytest.mark.parametrize("key", [("10.0.0.1", 8000), ("2001:db8::1", 1), ("10.0.0.1", 65535)])
def test_a_hash_fits_a_word_and_is_not_zero(key: tuple[str, int]) -> None:
    assert hash_of(key) != 0
    assert -(2**63) <= hash_of(key) < 2**63
    assert hash_of(key) != hash_of((key[0], key[1] - 1))
