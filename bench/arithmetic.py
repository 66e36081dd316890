"""Compute how many calls an edge can carry: pure functions of costs, of the load, and of a node's limits.

- A call of f frames a second in each direction costs 2 f one-way frames a second, and one handshake in W seconds, its
  length.
- The side that closes a connection first keeps its port for another 60 s, and its conntrack entry for
  ``nf_conntrack_tcp_timeout_time_wait``: calls that ended within that time count as well. Of N live calls, N / W end in
  a second (Little's law).
"""

# ruff: noqa: RUF001 - the formulas have signs that letters look like
from __future__ import annotations

import math

from attrs import frozen

TIME_WAIT = 60.0  # seconds; TCP_TIMEWAIT_LEN in include/net/tcp.h
DESCRIPTORS = 2  # of a call, in its worker and again in the vault; see Descriptors in docs/operations.md
OWN_DESCRIPTORS = 64  # allowed to a process for all but calls: listeners, channels, pipes, log
ENTRIES = 2  # of conntrack: the client's connection and the pod's
GIB = 1024**3


@frozen
class Costs:
    """The resources that one call takes.

    Args:
        frame_us: CPU microseconds for a frame, one way.
        handshake_us: CPU microseconds for a new call.
        process_bytes: memory of splicer's processes for a call.
        kernel_bytes: kernel memory of a call's two sockets with empty buffers.
        base_bytes: memory of an edge without calls and workers: supervisor, spare and admin process.
        worker_bytes: memory of a worker without calls.
        outside_us: the CPU microseconds of `handshake_us` outside the worker: the supervisor's, with its vault.
    """

    frame_us: float
    handshake_us: float
    process_bytes: float
    kernel_bytes: float
    base_bytes: float
    worker_bytes: float
    outside_us: float

    @property
    def call_bytes(self) -> float:
        """Memory of a call."""
        return self.process_bytes + self.kernel_bytes

    def empty_bytes(self, workers: int) -> float:
        """Memory of an edge without calls."""
        return self.base_bytes + workers * self.worker_bytes


@frozen
class Load:
    """The load: what calls send, how long they last, how fast they come.

    Args:
        frame_rate: frames a second, each way.
        call_seconds: the mean length of a call.
        core_share: the share of a core that may be used on average; the rest is for peaks.
        burst: new calls a second that all edges together must survive; ignored if below the mean rate.
    """

    frame_rate: float = 50.0
    call_seconds: float = 180.0
    core_share: float = 0.7
    burst: float = 0.0

    def new_calls(self, calls: int) -> float:
        """New calls a second while `calls` calls are live."""
        return max(calls / self.call_seconds, self.burst)


@frozen
class Node:
    """The limits of one edge pod; None: unknown or unused, so it is no limit.

    Args:
        cores: for splicer; each has a worker.
        memory: bytes.
        nofile: RLIMIT_NOFILE, the hard one.
        file_max: fs.file-max.
        ports: how many net.ipv4.ip_local_port_range has.
        conntrack: nf_conntrack_max.
        conntrack_time_wait: nf_conntrack_tcp_timeout_time_wait, seconds.
        connections: ``connections`` under ``[limits]``.
        packets: packets a second that its network can carry, in and out together.
        sources: the number of addresses from which it connects to pods.
    """

    cores: int
    memory: int | None = None
    nofile: int | None = None
    file_max: int | None = None
    ports: int | None = None
    conntrack: int | None = None
    conntrack_time_wait: float = 120.0
    connections: int | None = None
    packets: float | None = None
    sources: int = 1


@frozen
class Resource:
    """The number of calls that one resource is enough for.

    Args:
        name: of the resource.
        calls: the number.
        formula: the calculation, with its numbers.
        remedy: how to raise the limit.
    """

    name: str
    calls: int
    formula: str
    remedy: str


@frozen
class Demand:
    """What a number of calls needs in all."""

    calls: int
    new_calls: float
    cores: int
    edges: int
    memory: float
    frames: float
    packets: float


def call_us(costs: Costs, load: Load) -> float:
    """CPU microseconds that a call takes for each second that it lasts."""
    return 2 * load.frame_rate * costs.frame_us + costs.handshake_us / load.call_seconds


def calls_per_core(costs: Costs, load: Load) -> int:
    """The number of calls that one core carries."""
    return math.floor(load.core_share * 1e6 / call_us(costs, load))


def call_packets(load: Load) -> float:
    """Packets a second of a call: each frame comes in and goes out, and each of the two may have its own ACK."""
    return 2 * load.frame_rate * 2 * 2


# More calls never need fewer cores: each term grows with them.
def cores(costs: Costs, load: Load, calls: int) -> int:
    """The number of cores that `calls` calls need."""
    used = calls * 2 * load.frame_rate * costs.frame_us + load.new_calls(calls) * costs.handshake_us
    return math.ceil(used / 1e6 / load.core_share)


@frozen
class Workers:
    """What an edge of several workers carries, each on a core of its own and the supervisor on a further one.

    Args:
        workers: their number.
        calls: live calls for which the workers' cores are enough.
        new_calls: new calls a second, without frames: the smaller of what the workers and the supervisor can begin.
        supervisor_bound: whether the supervisor is the smaller.
    """

    workers: int
    calls: int
    new_calls: float
    supervisor_bound: bool


# One supervisor serves all workers of an edge, so its share of a new call is the ceiling. It has no share of a frame.
def of_workers(costs: Costs, load: Load, workers: int) -> Workers:
    """What more workers give."""
    core = load.core_share * 1e6
    inside = costs.handshake_us - costs.outside_us
    by_workers, by_supervisor = workers * core / inside, core / costs.outside_us
    calls = math.floor(workers * core / (call_us(costs, load) - costs.outside_us / load.call_seconds))
    calls = min(calls, math.floor(by_supervisor * load.call_seconds))
    return Workers(workers, calls, min(by_workers, by_supervisor), by_supervisor < by_workers)


def demand(costs: Costs, load: Load, calls: int, edge: int, workers: int) -> Demand:
    """Compute what a number of calls needs.

    Args:
        costs: of one.
        load: what they do.
        calls: how many.
        edge: how many one edge carries.
        workers: of one edge.
    """
    edges = math.ceil(calls / edge)
    return Demand(
        calls=calls,
        new_calls=load.new_calls(calls),
        cores=cores(costs, load, calls),
        edges=edges,
        memory=calls * costs.call_bytes + edges * costs.empty_bytes(workers),
        frames=calls * 2 * load.frame_rate,
        packets=calls * call_packets(load),
    )


def resources(costs: Costs, load: Load, node: Node, pods: int) -> list[Resource]:
    """The number of calls that each resource of one edge is enough for; the scarcest resource comes first.

    Args:
        costs: of a call.
        load: what calls do.
        node: what there is.
        pods: the number of pods; calls are spread evenly among them.
    """
    found = [_cpu(costs, load, node), *_descriptors(node), *_network(load, node, pods), *_memory(costs, node)]
    if node.connections is not None:
        formula = f"{node.connections:,}, client connections of all workers together"
        remedy = "raise connections under [limits] in routing.toml"
        found.append(Resource("splicer's own limit", node.connections, formula, remedy))
    return sorted(found, key=lambda one: one.calls)


def _cpu(costs: Costs, load: Load, node: Node) -> Resource:
    each = call_us(costs, load)
    calls = math.floor(node.cores * load.core_share * 1e6 / each)
    formula = f"{node.cores} cores × {load.core_share:g} × 1,000,000 µs/s / {each:,.1f} µs/s"
    return Resource("CPU", calls, formula, "more cores, or more edges")


def _descriptors(node: Node) -> list[Resource]:
    """The vault's duplicate is a second descriptor of the same open file."""
    found = []
    if node.nofile is not None:
        each = max(0, node.nofile - OWN_DESCRIPTORS) // DESCRIPTORS
        formula = f"({node.nofile:,} - {OWN_DESCRIPTORS}) / {DESCRIPTORS} a call"
        remedy = "raise the hard RLIMIT_NOFILE, up to fs.nr_open, and that if need be"
        found.append(Resource("descriptors of the vault", each, formula, remedy))
        workers = f"{node.cores} workers × {formula}"
        found.append(Resource("descriptors of the workers", node.cores * each, workers, remedy))
    if node.file_max is not None:
        formula = f"{node.file_max:,} / {DESCRIPTORS} a call"
        found.append(Resource("open files of the node", node.file_max // DESCRIPTORS, formula, "raise fs.file-max"))
    return found


def _network(load: Load, node: Node, pods: int) -> list[Resource]:
    found = []
    if node.ports is not None:
        calls = math.floor(pods * node.sources * node.ports / (1 + TIME_WAIT / load.call_seconds))
        formula = (
            f"{pods:,} pods × {node.sources} source addresses × {node.ports:,} ports "
            f"/ (1 + {TIME_WAIT:g} s TIME_WAIT / {load.call_seconds:g} s)"
        )
        remedy = "widen net.ipv4.ip_local_port_range, or more pods, or more edges"
        found.append(Resource("ports towards the pods", calls, formula, remedy))
    if node.conntrack is not None:
        wait = node.conntrack_time_wait
        calls = math.floor(node.conntrack / (ENTRIES * (1 + wait / load.call_seconds)))
        formula = f"{node.conntrack:,} / ({ENTRIES} entries × (1 + {wait:g} s / {load.call_seconds:g} s))"
        remedy = "raise nf_conntrack_max, or exempt the edge's connections (NOTRACK)"
        found.append(Resource("conntrack", calls, formula, remedy))
    if node.packets is not None:
        each = call_packets(load)
        formula = f"{node.packets:,.0f} a second / {each:g} a call, an ACK for every frame"
        found.append(Resource("packets", math.floor(node.packets / each), formula, "more edges, on other nodes"))
    return found


def _memory(costs: Costs, node: Node) -> list[Resource]:
    if node.memory is None:
        return []
    empty = costs.empty_bytes(node.cores)
    calls = max(0, math.floor((node.memory - empty) / costs.call_bytes))
    have, each = f"{node.memory / GIB:,.1f} GiB", f"{costs.call_bytes / 1024:,.1f} KiB a call"
    formula = f"({have} - {empty / 2**20:,.0f} MiB without calls) / {each}"
    return [Resource("memory", calls, formula, "more memory, or more edges")]
