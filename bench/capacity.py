"""Compute what a number of calls needs, also beyond this machine, from measured costs and checkable arithmetic.

    python -m bench.capacity [RESULT.json] [--calls 100000 --calls 1000000] [--core-share 0.7] [--json]

Costs are those of splicer in a run of the bench, by default the latest. A cost that the run lacks, or all of them if
there is no run, is taken from the run named below. Limits that are not given are this machine's.
"""

# ruff: noqa: RUF001 - the formulas have signs that letters look like
from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from attrs import frozen

from bench import node as this_node
from bench.arguments import Parser, shown
from bench.arithmetic import (
    GIB,
    Costs,
    Demand,
    Load,
    Node,
    Resource,
    call_us,
    calls_per_core,
    demand,
    of_workers,
    resources,
)
from bench.model import Report
from bench.report.store import NoReport, read
from bench.report.words import MINE
from bench.report.write import LATEST

_RUN = "built in: quiet runs of 2026-11-29 and 30 on two cores, Linux 6.18, Python 3.11"
# Slab growth for each socket, 8,000 of them; see `bench.node.socket_bytes`. A call has two.
_KERNEL_BYTES = 2 * 4040.0
BUILT_IN = Costs(13.9, 632.0, 7.39 * 1024, _KERNEL_BYTES, 62.9e6, 15.7e6, 31.9)
_MEANINGS = {
    "frame_us": "µs of CPU for a frame, one way",
    "handshake_us": "µs of CPU for a new call",
    "process_bytes": "bytes of splicer's processes for a call",
    "kernel_bytes": "bytes of the kernel for its two sockets, buffers empty",
    "base_bytes": "bytes of an edge's supervisor, template, spare and admin process",
    "worker_bytes": "bytes of a worker without calls",
    "outside_us": "µs of these for a new call outside the worker: the supervisor's, with its vault",
}


@frozen
class Measured:
    """Costs, with the source of each."""

    costs: Costs
    sources: dict[str, str]


def measured(report: Report | None) -> Measured:
    """Splicer's costs in a report; built-in costs where the report has none."""
    sources = dict.fromkeys(_MEANINGS, _RUN)
    found: dict[str, float] = {}
    for name, keys, cost in _FROM:
        key = next(
            (key for key in keys if report and (one := report.figure(key, MINE)) and 0 < one.median < math.inf), None
        )
        if report and key and (figure := report.figure(key, MINE)):
            found[name] = cost(figure.median)
            sources[name] = f"{key} of the run of {report.started}"
    return Measured(attrs.evolve(BUILT_IN, **found), sources)


_FROM: tuple[tuple[str, tuple[str, ...], Callable[[float], float]], ...] = (
    ("frame_us", ("frames.cpu_us",), lambda value: value),
    ("handshake_us", ("handshakes.per_cpu",), lambda value: 1e6 / value),
    ("outside_us", ("scale.workers_1_outside_us",), lambda value: value),
    ("process_bytes", ("idle.5000_kb", "idle.1000_kb"), lambda value: value * 1024),
)


# ---- text ----


def text(its: Measured, load: Load, pods: int, found: Sequence[Resource], needs: Sequence[Demand], workers: int) -> str:
    """The result as text, with all formulas."""
    return "\n".join(
        [
            "Costs",
            *(f"  {getattr(its.costs, name):>12,.1f} {what} ({its.sources[name]})" for name, what in _MEANINGS.items()),
            "",
            *_core(its.costs, load),
            "",
            *_workers(its.costs, load),
            "",
            f"One edge, calls spread over {pods:,} pods: what ends first",
            *(line for one in found for line in _resource(one)),
            f"  → first {', then '.join(f'{one.name} at {one.calls:,}' for one in found[:3])}",
            "  A reader that has stopped takes 2 or 3 descriptors more, and up to net.ipv4.tcp_rmem and tcp_wmem.",
            *(line for need in needs for line in ("", *_demand(its.costs, load, need, found[0].calls, workers))),
            "",
        ]
    )


def _core(costs: Costs, load: Load) -> list[str]:
    each = call_us(costs, load)
    return [
        "One core",
        f"  CPU of a call  = 2 × {load.frame_rate:g}/s × {costs.frame_us:,.2f} µs + {costs.handshake_us:,.1f} µs"
        f" / {load.call_seconds:g} s = {each:,.1f} µs/s",
        f"  calls per core = {load.core_share:g} × 1,000,000 µs/s / {each:,.1f} µs/s = {calls_per_core(costs, load):,}",
    ]


_CURVE = (1, 2, 4, 8, 16, 32, 64)


def _workers(costs: Costs, load: Load) -> list[str]:
    inside, core = costs.handshake_us - costs.outside_us, load.core_share * 1e6
    ceiling = core / costs.outside_us
    return [
        "One edge of N workers, each with a core, and one core for its supervisor, which all share",
        f"  new calls a second = min(N × {core:,.0f} µs/s / {inside:,.1f} µs, "
        f"{core:,.0f} µs/s / {costs.outside_us:,.1f} µs)",
        *(
            f"  {curve.workers:>4} workers: {curve.new_calls:>8,.0f} new calls a second, {curve.calls:>8,} live calls"
            f"{' (the supervisor is the limit)' if curve.supervisor_bound else ''}"
            for curve in (of_workers(costs, load, workers) for workers in _CURVE)
        ),
        f"  → the supervisor's share ends it at {ceiling / (core / inside):,.1f} workers, "
        f"{ceiling:,.0f} new calls a second;",
        "    for more: several edges on a node, each with a supervisor. It has no share of a frame.",
    ]


def _resource(one: Resource) -> list[str]:
    return [f"  {one.calls:>12,}  {one.name} = {one.formula}", f"  {'':>12}  for more: {one.remedy}"]


def _demand(costs: Costs, load: Load, need: Demand, edge: int, workers: int) -> list[str]:
    used = need.frames * costs.frame_us + need.new_calls * costs.handshake_us
    new = f"{need.new_calls:,.1f}/s"
    return [
        f"{need.calls:,} calls",
        f"  new calls = max({need.calls:,} / {load.call_seconds:g} s, {load.burst:,g}/s) = {new}",
        f"  cores     = (2 × {load.frame_rate:g}/s × {need.calls:,} × {costs.frame_us:,.2f} µs + {new}"
        f" × {costs.handshake_us:,.1f} µs) / 1,000,000 / {load.core_share:g}"
        f" = {used / 1e6 / load.core_share:,.1f}, that is {need.cores:,}",
        f"  edges     = {need.calls:,} / {edge:,} = {need.edges:,} such as the one above",
        f"  memory    = {need.calls:,} × ({costs.process_bytes / 1024:,.1f} + {costs.kernel_bytes / 1024:,.1f}) KiB"
        f" + {need.edges:,} × {costs.empty_bytes(workers) / 2**20:,.0f} MiB = {need.memory / GIB:,.1f} GiB",
        f"  network   = {need.frames:,.0f} frames/s, in and out, with an ACK for each {need.packets:,.0f} packets/s",
    ]


# ---- the command ----


_NUMBER = re.compile(r"[+-]?([0-9]+|[0-9]{1,3}(,[0-9]{3})+)?(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MOST = 1e12  # upper bound of any count; a larger one is a typing error
_KERNELS_MOST = 2.0**63  # what the kernel takes for "no limit"


def _up_to(most: float) -> Callable[[str], float]:
    """A number above 0."""

    def number(value: str) -> float:
        try:
            found = float(value.replace(",", "")) if _NUMBER.fullmatch(value) else math.nan
        except ValueError:
            found = math.nan
        if math.isnan(found):
            raise argparse.ArgumentTypeError(f"must be a number, not {value!r}")
        if not 0 < found <= most:
            raise argparse.ArgumentTypeError(f"must be above 0, and {most:g} at most, not {value}")
        return found

    return number


def _whole(most: float) -> Callable[[str], int]:
    """A whole number above 0."""

    def whole(value: str) -> int:
        found = _up_to(most)(value)
        if found != int(found):
            raise argparse.ArgumentTypeError(f"must be a whole number, not {value}")
        return int(found)

    return whole


def _parser() -> Parser:
    parser = Parser(
        prog="python -m bench.capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, usual = parser.add_argument, Load()
    add("result", nargs="?", type=Path, metavar="RESULT.json", help=f"of a run; {shown(LATEST)} if it is there")
    add("--calls", type=_whole(_MOST), action="append", help="live calls in all; may be repeated (100000 and 1000000)")
    add("--core-share", type=_up_to(1), default=usual.core_share, help="of a core, in the mean (%(default)s)")
    add("--frame-rate", type=_up_to(_MOST), default=usual.frame_rate, help="frames a second each way (%(default)s)")
    add("--call-seconds", type=_up_to(_MOST), default=usual.call_seconds, help="mean length of a call (%(default)s)")
    add("--new-calls-per-s", type=_up_to(_MOST), default=0.0, help="a burst that all edges together must stand")
    add("--pods", type=_whole(_MOST), default=100, help="that take the calls (%(default)s)")
    add("--sources", type=_whole(_MOST), default=1, help="addresses of an edge towards pods (%(default)s)")
    add("--edge-cores", type=_whole(_MOST), help="cores, and workers, of one edge")
    add("--memory-gib", type=_up_to(_MOST), help="memory of one edge")
    add("--nofile", type=_whole(_KERNELS_MOST), help="RLIMIT_NOFILE")
    add("--file-max", type=_whole(_KERNELS_MOST), help="fs.file-max")
    add("--ports", type=_whole(_MOST), help="width of net.ipv4.ip_local_port_range")
    add("--conntrack", type=_whole(_MOST), help="nf_conntrack_max, where conntrack is in use")
    add("--connections", type=_whole(_MOST), default=20000, help="under [limits] in routing.toml (%(default)s)")
    add("--packets", type=_up_to(_MOST), help="packets a second that the network of one edge takes")
    add("--measure-kernel", action="store_true", help="measure here what a socket takes of the kernel's memory")
    add("--json", action="store_true", help="for scripts")
    return parser


def _node(options: argparse.Namespace) -> Node:
    """The limits: those that were given, this machine's for the others."""
    wait = this_node.first("net.netfilter.nf_conntrack_tcp_timeout_time_wait")
    return Node(
        cores=options.edge_cores or this_node.cores(),
        memory=int(options.memory_gib * GIB) if options.memory_gib else this_node.memory(),
        nofile=options.nofile or this_node.nofile(),
        file_max=options.file_max or this_node.first("fs.file-max"),
        ports=options.ports or this_node.ports(),
        conntrack=options.conntrack or this_node.first("net.netfilter.nf_conntrack_max"),
        conntrack_time_wait=120.0 if wait is None else wait,
        connections=options.connections,
        packets=options.packets,
        sources=options.sources,
    )


def _costs(options: argparse.Namespace) -> Measured:
    """The costs in the file that was named, or in the latest run.

    Raises:
        NoReport: the file is not a report.
        OSError: the kernel's memory can't be measured.
    """
    path = options.result or (LATEST if LATEST.exists() else None)
    its = measured(read(path) if path else None)
    if not options.measure_kernel:
        return its
    costs = attrs.evolve(its.costs, kernel_bytes=2 * this_node.socket_bytes())
    return Measured(costs, its.sources | {"kernel_bytes": "measured here: growth of the slabs"})


def main(arguments: Sequence[str] | None = None) -> int:
    """See above.

    Returns:
        The exit code: 2 if the file or an argument can't be used.
    """
    options = _parser().parse_args(arguments)
    load = Load(options.frame_rate, options.call_seconds, options.core_share, options.new_calls_per_s)
    try:
        its = _costs(options)
    except (NoReport, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    node = _node(options)
    wanted = options.calls or (100_000, 1_000_000)
    try:
        found = resources(its.costs, load, node, options.pods)
        edge = found[0].calls
        needs = [demand(its.costs, load, calls, edge, node.cores) for calls in wanted] if edge else []
    except OverflowError:
        sys.stderr.write("these numbers are too far apart to be reckoned with\n")
        return 2
    if not edge:
        sys.stderr.write(f"no call fits on such an edge: {found[0].name} = {found[0].formula}\n")
        return 2
    if options.json:
        parts: dict[str, object] = {"costs": attrs.asdict(its), "load": attrs.asdict(load), "node": attrs.asdict(node)}
        parts |= {"pods": options.pods, "calls_per_core": calls_per_core(its.costs, load)}
        lists = {"edge": [attrs.asdict(one) for one in found], "demand": [attrs.asdict(need) for need in needs]}
        sys.stdout.write(json.dumps(parts | lists, ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write(text(its, load, options.pods, found, needs, node.cores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
