from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.model import Endpoint
from splicer.upstream.balance import Balancer, SlowStart

POLICIES = ["least-tunnels", "round-robin", "random"]
PODS = [Endpoint("any-pod", f"10.0.0.{number}", 8000) for number in range(1, 8)]

some = st.lists(st.sampled_from(PODS), unique=True)
loads = st.lists(st.sampled_from(PODS), max_size=20)


@given(st.sampled_from(POLICIES), some, loads, st.integers(0, 5))
def test_every_endpoint_comes_exactly_once(policy: str, pods: list[Endpoint], load: list[Endpoint], turns: int) -> None:
    balancer = Balancer(clock=lambda: 0.0)
    with ExitStack() as tunnels:
        for pod in load:
            tunnels.enter_context(balancer.hold(pod))
        for _ in range(turns):
            balancer.order("any-pod", policy, pods)
        assert sorted(balancer.order("any-pod", policy, pods), key=str) == sorted(pods, key=str)


@given(some, loads)
def test_least_tunnels_goes_from_idle_to_busy(pods: list[Endpoint], load: list[Endpoint]) -> None:
    balancer = Balancer(clock=lambda: 0.0)
    with ExitStack() as tunnels:
        for pod in load:
            tunnels.enter_context(balancer.hold(pod))
        busy = Counter(load)
        order = [busy[pod] for pod in balancer.order("any-pod", "least-tunnels", pods)]
        assert order == sorted(order)


@given(st.lists(st.sampled_from(PODS), unique=True, min_size=1), st.integers(1, 50))
def test_calls_that_stay_are_spread_evenly(pods: list[Endpoint], calls: int) -> None:
    balancer = Balancer(clock=lambda: 0.0)
    with ExitStack() as tunnels:
        for _ in range(calls):
            tunnels.enter_context(balancer.hold(balancer.order("any-pod", "least-tunnels", pods)[0]))
        live = [balancer.live(pod) for pod in pods]
        assert max(live) - min(live) <= 1
        assert sum(live) == calls


@given(st.lists(st.sampled_from(PODS), unique=True, min_size=1), st.integers(1, 50), st.randoms())
def test_round_robin_is_even_however_the_name_servers_shuffle(pods: list[Endpoint], picks: int, random: Random) -> None:
    balancer = Balancer(clock=lambda: 0.0)
    picked: Counter[Endpoint] = Counter()
    for _ in range(picks):
        random.shuffle(pods)
        picked[balancer.order("any-pod", "round-robin", pods)[0]] += 1
    shares = [picked[pod] for pod in pods]
    assert max(shares) - min(shares) <= 1


def test_idle_endpoints_take_turns() -> None:
    balancer = Balancer(clock=lambda: 0.0)
    picked = Counter(balancer.order("any-pod", "least-tunnels", PODS)[0] for _ in range(70))
    assert set(picked.values()) == {10}


@given(st.sampled_from(POLICIES), some, st.lists(st.sampled_from(PODS)), loads)
def test_what_failed_lately_comes_last_whatever_its_load(
    policy: str, pods: list[Endpoint], failed: list[Endpoint], load: list[Endpoint]
) -> None:
    balancer = Balancer(clock=lambda: 0.0)
    for pod in failed:
        balancer.reachability.failed(pod)
    with ExitStack() as tunnels:
        for pod in load:
            tunnels.enter_context(balancer.hold(pod))
        order = [pod in failed for pod in balancer.order("any-pod", policy, pods)]
    assert (order, len(order)) == (sorted(order), len(pods))


@pytest.mark.parametrize("count", [5, 8, 32, 51, 200])
def test_neighbours_are_not_tried_one_after_another(count: int) -> None:
    """The pods of a node that is dead have addresses that follow each other."""
    pods = [Endpoint("any-pod", f"10.0.{100 + number // 100}.{100 + number % 100}", 8000) for number in range(count)]
    dead = set(pods[: 3 * count // 4])
    balancer = Balancer(clock=lambda: 0.0)
    for _ in range(count):
        order = balancer.order("any-pod", "round-robin", pods)
        assert sorted(order, key=pods.index) == pods
        assert not dead.issuperset(order[:7])


def test_a_pod_that_drops_its_calls_at_once_does_not_attract_the_next_ones() -> None:
    clock = [0.0]
    balancer = Balancer(clock=lambda: clock[0])
    picked: Counter[Endpoint] = Counter()
    with ExitStack() as tunnels:
        for _ in range(35):
            [pod, *_] = balancer.order("any-pod", "least-tunnels", PODS)
            picked[pod] += 1
            hold = balancer.hold(pod, chosen=True)
            if pod == PODS[3]:
                with hold:
                    clock[0] += 0.1
            else:
                tunnels.enter_context(hold)
        assert set(picked.values()) == {5}
        assert balancer.live(PODS[3]) == 0
        clock[0] += 20
        assert balancer.order("any-pod", "least-tunnels", PODS)[0] == PODS[3]


def test_a_connect_without_a_connection_is_no_call() -> None:
    balancer = Balancer(clock=lambda: 0.0)
    hold = balancer.hold(PODS[0], chosen=True)
    hold.__enter__()
    hold.drop()
    assert (balancer.live(PODS[0]), balancer._recent.counts()) == (0, {})
    with balancer.hold(PODS[0]):
        pass
    assert balancer._recent.counts() == {}, "it was not chosen among several"


# ---- slow start ----


def share_of_a_new_pod(age: float | None, calls: int = 40) -> int:
    """How many of the next calls it gets beside fifty that have twenty each; None: nobody knows its age."""
    now = 1000.0
    balancer = Balancer(clock=lambda: 0.0, monotonic=lambda: now)
    pods = [Endpoint("any-pod", f"10.0.1.{number}", 8000) for number in range(51)]
    new, picked = pods[17], Counter[Endpoint]()
    slow = SlowStart(60.0, {} if age is None else {(new.address, new.port): now - age})
    for pod in pods:
        for _ in range(20 if pod is not new else 0):
            balancer.hold(pod).__enter__()
    for _ in range(calls):
        [first, *_] = balancer.order("any-pod", "least-tunnels", pods, slow=slow)
        balancer.hold(first, chosen=True).__enter__()
        picked[first] += 1
    return picked[new]


def test_a_pod_that_has_just_become_ready_gets_few_of_the_next_calls_and_then_more() -> None:
    shares = [share_of_a_new_pod(age) for age in (0, 15, 30, 45, 60)]
    assert shares[0] < 5
    assert shares == sorted(shares)
    assert shares[2] == pytest.approx(10, abs=1), "half of what the others have, after half of the time"
    assert shares[-1] >= 20
    assert share_of_a_new_pod(None) == shares[-1], "nobody is new who was ready from the start"


@given(some, loads, st.sampled_from([0.0, 30.0, 60.0]))
def test_if_all_are_as_new_as_each_other_the_least_busy_comes_first(
    pods: list[Endpoint], load: list[Endpoint], age: float
) -> None:
    balancer = Balancer(clock=lambda: 0.0, monotonic=lambda: 100.0)
    slow = SlowStart(60.0, {(pod.address, pod.port): 100.0 - age for pod in pods})
    with ExitStack() as tunnels:
        for pod in load:
            tunnels.enter_context(balancer.hold(pod))
        order = [balancer.live(pod) for pod in balancer.order("any-pod", "least-tunnels", pods, slow=slow)]
    assert len(order) == len(pods)
    if age or len(pods) != 2:  # of two that are wholly new, each is as busy as both together
        assert order == sorted(order)


def test_upstreams_take_turns_independently() -> None:
    balancer = Balancer(clock=lambda: 0.0)
    picks = [balancer.order(name, "round-robin", PODS[:2])[0] for name in ("a", "b", "a", "b")]
    assert picks == [PODS[0], PODS[0], PODS[1], PODS[1]]


def test_random_is_the_given_one() -> None:
    orders = [Balancer(Random(7), lambda: 0.0).order("any-pod", "random", PODS) for _ in range(2)]
    assert orders[0] == orders[1]
    balancer = Balancer(Random(7), lambda: 0.0)
    assert len({tuple(balancer.order("any-pod", "random", PODS)) for _ in range(20)}) > 1


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(ValueError, match="no balance policy 'fastest'"):
        Balancer(clock=lambda: 0.0).order("any-pod", "fastest", PODS)


def test_what_nobody_holds_takes_no_memory() -> None:
    balancer = Balancer(clock=lambda: 0.0)
    with balancer.hold(PODS[0]), balancer.hold(PODS[0]), balancer.hold(PODS[1]):
        assert (balancer.live(PODS[0]), balancer.live(PODS[1])) == (2, 1)
    assert balancer.live(PODS[0]) == 0
    assert len(balancer.loads) == 0


def test_an_endpoint_is_its_address_whatever_name_it_goes_by() -> None:
    balancer = Balancer(clock=lambda: 0.0)
    with balancer.hold(Endpoint("voice-agent-0", "10.0.0.1", 8000)):
        assert balancer.live(Endpoint("any-pod", "10.0.0.1", 8000)) == 1
        assert balancer.live(Endpoint("any-pod", "10.0.0.1", 8001)) == 0
