"""The names of figures and peers, and the format of numbers, in all texts for people."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from bench.model import MORE_IS_BETTER, Report, ratio

MINE = "splicer"
DIRECT = "direct"  # clients and pods without a proxy
LOAD_BOUND = "†"
MISSING = DASH = "–"  # noqa: RUF001 - it is one
TIMES = "×"  # noqa: RUF001 - it is one

_NAMES = {
    "frames.cpu_us": "CPU for a frame",
    "frames.p50_us": "latency of a frame, one way, median",
    "frames.p99_us": "latency of a frame, one way, p99",
    "frames.30_cpu_us": "CPU for a frame, 30 calls",
    "frames.30_p50_us": "latency of a frame, 30 calls, median",
    "frames.30_p99_us": "latency of a frame, 30 calls, p99",
    "frames.800_cpu_us": "CPU for a frame, 800 calls",
    "frames.800_p50_us": "latency of a frame, 800 calls, median",
    "frames.800_p99_us": "latency of a frame, 800 calls, p99",
    "even.cpu_us": "CPU for an evenly spread frame",
    "even.p50_us": "evenly spread frame, there and back, median",
    "even.p99_us": "evenly spread frame, there and back, p99",
    "even.p999_us": "evenly spread frame, there and back, p99.9",
    "even.added_p50_us": "added to an evenly spread frame, median",
    "even.added_p99_us": "added to an evenly spread frame, p99",
    "even.added_p999_us": "added to an evenly spread frame, p99.9",
    "burst.cpu_us": "CPU for a frame, once a millisecond",
    "burst.p50_us": "latency of a frame, once a millisecond, median",
    "burst.p99_us": "latency of a frame, once a millisecond, p99",
    "saturate.rate": "frame rate at full CPU",
    "saturate.per_cpu": "frames per CPU second",
    "bulk.64k_mb": "throughput, messages of 64 KiB",
    "bulk.1m_mb": "throughput, messages of 1 MiB",
    "bulk.64k_mb_per_cpu": "throughput per CPU second, messages of 64 KiB",
    "bulk.1m_mb_per_cpu": "throughput per CPU second, messages of 1 MiB",
    "handshakes.rate": "rate of new calls",
    "handshakes.per_cpu": "new calls per CPU second",
    "handshakes.outside_us": "CPU for a new call outside the workers",
    "handshakes.p99_us": "time to the 101, p99",
    "handshakes.paced_per_cpu": "new calls per CPU second, 1,000 a second",
    "storm.p99_us": "frames in a storm of new calls, p99",
    "storm.quiet_p99_us": "frames with no storm of new calls, p99",
    "storm.closed_p99_us": "frames beside 8 clients that dial on and on, p99",
    "storm.speech_p99_us": "frames of speech beside 300 new calls a second, p99",
    "storm.speech_handshakes": "new calls beside speech",
    "storm.handshakes": "new calls in the storm",
    "storm.closed_handshakes": "new calls of 8 clients beside frames",
    "idle.1000_kb": "memory for each of 1,000 idle calls",
    "idle.5000_kb": "memory for each of 5,000 idle calls",
    "start.ms": "from its start to its first answer",
    "start.pss_mb": "memory without calls",
    "tls.5000_kb": "memory of a tunnel over TLS, 5,000 tunnels",
    "tls.cpu_us": "CPU for a frame over TLS",
    "tls.rate": "rate of new calls over TLS",
    "tls.per_cpu": "new calls over TLS per CPU second",
    "http.rate": "rate of HTTP requests",
    "http.per_cpu": "HTTP requests per CPU second",
    "http.p99_us": "HTTP requests, p99",
    "reload.lost": "calls lost by a reload",
    "reload.stall_ms": "longest stall in a reload",
    "kill.lost": "calls lost by a killed worker",
    "kill.stall_ms": "longest stall by a killed worker",
}
_SCALE = re.compile(r"scale\.(routes|pods|workers)_(\d+)_(us|rate|outside_us|frame_us)")
_SCALED = {
    "us": "CPU for a new call",
    "rate": "rate of new calls",
    "outside_us": "of that outside the workers",
    "frame_us": "CPU for a frame",
}
_TITLES = {"nginx-tuned": "nginx, tuned", "haproxy": "HAProxy", "envoy": "Envoy", "caddy": "Caddy"}
_UNITS = {"us": "µs", "kb": "KiB", "KB": "KiB", "calls": "", "count": ""}


def name_of(key: str) -> str:
    """A figure's name; its key if it has no name."""
    if found := _SCALE.fullmatch(key):
        many = found[1].removesuffix("s") if found[2] == "1" else found[1]
        return f"{_SCALED[found[3]]}, {int(found[2]):,} {many}"
    return _NAMES.get(key, key.replace("_", " "))


def unit_of(unit: str) -> str:
    """A unit as it is printed."""
    return _UNITS.get(unit, unit)


def labelled(key: str, unit: str) -> str:
    """A figure's name, with its unit if it has one."""
    shown = unit_of(unit)
    return f"{name_of(key)} ({shown})" if shown else name_of(key)


def title_of(peer: str) -> str:
    """A peer's name as its authors write it."""
    return _TITLES.get(peer, peer)


def number(value: float) -> str:
    """A number with three significant digits, or with all digits before the point if there are more."""
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0 or abs(value) >= 100 or (value == int(value) and abs(value) < 10):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def times(value: float) -> str:
    """A ratio, followed by the multiplication sign."""
    return f"{'∞' if math.isinf(value) else f'{value:.2f}' if value < 10 else f'{value:,.0f}'}{TIMES}"


def peers_of(report: Report) -> list[str]:
    """The peers with figures: splicer first, the direct connection last, the others in the report's order."""
    found = list(dict.fromkeys(figure.peer for figure in report.figures))
    return sorted(found, key=lambda peer: (peer == DIRECT) - (peer == MINE))


def keys_of(report: Report, wanted: Iterable[str] | None = None) -> list[str]:
    """The figures of a report, in its order; or those of `wanted` that it has, in that order."""
    there = dict.fromkeys(figure.key for figure in report.figures)
    return list(there) if wanted is None else [key for key in wanted if key in there]


# The number is above 1 if splicer is better, whether more or less of the figure is better.
def against(report: Report, key: str, peer: str) -> float | None:
    """How many times better splicer's median is than a peer's.

    None if the two can't be compared: one lacks the figure, the figure has no better direction, or a difference is
    below zero (an added latency smaller than the noise). The direct connection is never compared with splicer.
    """
    mine, other = report.figure(key, MINE), report.figure(key, peer)
    if key not in MORE_IS_BETTER or peer in (MINE, DIRECT) or mine is None or other is None:
        return None
    if not (mine.median >= 0 and other.median >= 0):
        return None
    return ratio(mine.median, other.median, MORE_IS_BETTER[key])
