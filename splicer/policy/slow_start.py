"""Slow start: a pod that has just become ready gets its calls bit by bit, and not all of the next ones."""

from __future__ import annotations

from collections.abc import Sequence


def slowed(loads: Sequence[int], ages: Sequence[float], window: float) -> list[float]:
    """Loads as they count while some endpoints are new: as busy as the others at first, and less and less so.

    A cold pod that gets twenty handshakes in a row, because nobody has less to do, makes an incident of a scale-up.

    Args:
        loads: what each endpoint has to do.
        ages: for how long each has been ready, in seconds; `math.inf`: it is not new.
        window: how long an endpoint is new, in seconds, above 0.
    """
    whole, others = sum(loads), max(1, len(loads) - 1)
    return [
        load if age >= window else load + (1 - max(0.0, age) / window) * (whole - load) / others
        for load, age in zip(loads, ages, strict=True)
    ]
