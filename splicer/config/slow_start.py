"""``slow_start`` of an upstream: for how long a pod that has become ready gets fewer calls than its load would say."""

from __future__ import annotations

from splicer.config import kinds
from splicer.config.reader import Fault
from splicer.config.scalars import BadValue, show
from splicer.config.values import duration, format_duration
from splicer.model import Upstream

_LEAST, _MOST = 1.0, 3600.0  # seconds


def _window(value: object) -> float:
    seconds = duration(value)
    if not _LEAST <= seconds <= _MOST:
        limits = f"between {format_duration(_LEAST)} and {format_duration(_MOST)}"
        raise BadValue(f"must be {limits}, not {format_duration(seconds)}")
    return seconds


WINDOW = kinds.Kind(_window, format_duration, kinds.DURATION.schema, "duration, 1s to 1h")


def slow_start_faults(upstream: Upstream) -> tuple[Fault, ...]:
    """The faults of an upstream's `slow_start` beside its other keys."""
    if upstream.slow_start is None:
        return ()
    if upstream.service is None:
        why = 'needs discovery = "kubernetes": name servers don\'t say since when a pod is ready'
    elif upstream.names_pod:
        why = "the address names the pod, so there is none to choose; write it at an upstream that leads to all pods"
    elif upstream.balance != "least-tunnels":
        why = f'needs balance = "least-tunnels", not {show(upstream.balance)}'
    else:
        return ()
    return (Fault(("slow_start",), why),)
