"""Laws of the arithmetic: more of a cost never carries more, more of a resource never carries less."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.arithmetic import Costs, Load, Node, calls_per_core, cores, demand, of_workers, resources

COSTS = st.builds(
    Costs,
    st.floats(0.1, 100),
    st.floats(1, 5000),
    st.floats(100, 1e6),
    st.floats(100, 1e5),
    st.floats(1e6, 1e9),
    st.floats(1e6, 1e8),
    st.floats(0.01, 0.9),
)
LOADS = st.builds(Load, st.floats(1, 200), st.floats(1, 3600), st.floats(0.1, 1), st.floats(0, 1e5))
CALLS = st.integers(1, 10_000_000)
COUNTS = st.none() | st.integers(1, 10**9)
NODES = st.builds(
    Node,
    cores=st.integers(1, 256),
    memory=COUNTS,
    nofile=COUNTS,
    file_max=COUNTS,
    ports=st.none() | st.integers(1, 64512),
    conntrack=COUNTS,
    conntrack_time_wait=st.floats(0, 600),
    connections=COUNTS,
    packets=st.none() | st.floats(1, 1e9),
    sources=st.integers(1, 16),
)


@given(COSTS, LOADS, CALLS, CALLS)
def test_more_calls_never_need_fewer_cores_edges_or_bytes(costs: Costs, load: Load, one: int, other: int) -> None:
    less, more = (demand(costs, load, calls, 1000, 2) for calls in sorted((one, other)))
    for part in ("cores", "edges", "memory", "frames", "packets", "new_calls"):
        assert getattr(less, part) <= getattr(more, part)


@given(COSTS, LOADS, st.integers(1, 500), st.integers(1, 500))
def test_more_workers_never_carry_less_nor_more_than_the_supervisor_can_begin(
    costs: Costs, load: Load, one: int, other: int
) -> None:
    fewer, more = (of_workers(costs, load, workers) for workers in sorted((one, other)))
    assert fewer.calls <= more.calls
    assert fewer.new_calls <= more.new_calls <= load.core_share * 1e6 / costs.outside_us
    assert more.supervisor_bound or not fewer.supervisor_bound


@given(COSTS, LOADS, st.floats(1, 10))
def test_dearer_frames_leave_room_for_no_more_calls(costs: Costs, load: Load, times: float) -> None:
    dearer = attrs.evolve(costs, frame_us=costs.frame_us * times)
    assert calls_per_core(dearer, load) <= calls_per_core(costs, load)


@given(COSTS, LOADS, st.integers(1, 1000))
def test_so_many_cores_carry_so_many_calls(costs: Costs, load: Load, many: int) -> None:
    steady = attrs.evolve(load, burst=0.0)
    assert cores(costs, steady, many * calls_per_core(costs, steady)) <= many + 1


@given(COSTS, LOADS, CALLS, st.floats(1, 1e5))
def test_a_burst_never_needs_fewer_cores(costs: Costs, load: Load, calls: int, burst: float) -> None:
    steady, stormy = attrs.evolve(load, burst=0.0), attrs.evolve(load, burst=burst)
    assert cores(costs, steady, calls) <= cores(costs, stormy, calls)


@given(COSTS, LOADS, NODES, st.integers(1, 1000))
def test_what_ends_first_is_first_and_what_is_unknown_is_no_limit(
    costs: Costs, load: Load, node: Node, pods: int
) -> None:
    found = resources(costs, load, node, pods)
    assert [one.calls for one in found] == sorted(one.calls for one in found)
    known = [
        node.memory,
        node.nofile,
        node.nofile,
        node.file_max,
        node.ports,
        node.conntrack,
        node.connections,
        node.packets,
    ]
    assert len(found) == 1 + sum(value is not None for value in known)


@given(COSTS, LOADS, NODES, st.integers(1, 1000))
def test_twice_of_everything_carries_no_less(costs: Costs, load: Load, node: Node, pods: int) -> None:
    names = ("cores", "nofile", "file_max", "ports", "conntrack", "connections", "packets")
    twice = attrs.evolve(node, **{name: 2 * getattr(node, name) for name in names if getattr(node, name) is not None})
    before = {one.name: one.calls for one in resources(costs, load, node, pods)}
    after = {one.name: one.calls for one in resources(costs, load, twice, pods)}
    assert all(after[name] >= calls for name, calls in before.items() if name != "memory")


def test_the_limits_by_hand() -> None:
    costs = Costs(10.0, 500.0, 9000.0, 8000.0, 100e6, 50e6, 25.0)
    node = Node(
        cores=4,
        memory=10**9,
        nofile=1064,
        file_max=5000,
        ports=28232,
        conntrack=262144,
        conntrack_time_wait=100.0,
        connections=20000,
        packets=8000.0,
        sources=2,
    )
    found = {one.name: one.calls for one in resources(costs, Load(call_seconds=100.0), node, pods=3)}
    assert found == {
        "CPU": int(4 * 0.7 * 1e6 / (2 * 50 * 10 + 500 / 100)),
        "descriptors of the vault": 500,
        "descriptors of the workers": 2000,
        "open files of the node": 2500,
        "ports towards the pods": int(3 * 2 * 28232 / 1.6),
        "conntrack": 262144 // 4,
        "packets": 20,
        "memory": (10**9 - 300_000_000) // 17000,
        "splicer's own limit": 20000,
    }


@pytest.mark.parametrize(("burst", "new"), [(0.0, 10.0), (5.0, 10.0), (50.0, 50.0)])
def test_new_calls_are_those_of_the_mean_or_of_a_burst(burst: float, new: float) -> None:
    assert Load(call_seconds=100.0, burst=burst).new_calls(1000) == new
