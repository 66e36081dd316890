"""Health checks: when an endpoint is checked, and what a series of checks says of it."""

from __future__ import annotations

import math
from hashlib import blake2b

from attrs import define

from splicer.health import HealthCheck

_FIRST_WITHIN = 1.0  # seconds
_JITTER = 0.05  # of the interval, in both directions
_LONGEST_LAPSE = 60.0  # seconds, if three intervals are shorter


@define
class Health:
    """The health of one endpoint by its checks. Until the first one it counts as healthy.

    Args:
        healthy: whether it is.
        checks: the number of checks so far; what comes after the first is not counted.
        against: the checks in a row that say the opposite of `healthy`.
    """

    healthy: bool = True
    checked: bool = False
    against: int = 0

    def learn(self, check: HealthCheck, *, passed: bool) -> bool:
        """Learn the result of a check; whether `healthy` has changed.

        The first check alone may make the endpoint unhealthy (as HAProxy's `init-state up`): nothing else is known.
        """
        first, self.checked = not self.checked, True
        if passed is self.healthy:
            self.against = 0
            return False
        self.against += 1
        threshold = check.healthy_threshold if passed else 1 if first else check.unhealthy_threshold
        if self.against < threshold:
            return False
        self.healthy, self.against = passed, 0
        return True


# No CRC: of two edges' CRCs the difference is the same at every endpoint, and might be next to nothing.
def phase(address: str, port: int, edge: str) -> float:
    """The part of its interval at which an endpoint is checked, from 0 to 1.

    Checks of many endpoints are spread evenly, and two edges check the same endpoint at different times.

    Args:
        address: the endpoint's.
        port: the port that is checked.
        edge: the name of the edge's host.
    """
    digest = blake2b(f"{address} {port} {edge}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


def first_check(now: float, phase: float) -> float:
    """When a new endpoint is checked first: within a second."""
    return now + _FIRST_WITHIN * phase


def next_check(now: float, check: HealthCheck, phase: float, random: float) -> float:
    """When an endpoint is checked next.

    Args:
        now: when the last check was due, on the monotonic clock, seconds.
        check: the check.
        phase: the endpoint's.
        random: from 0 to 1.
    """
    interval = check.interval
    # A check that came early by its jitter must not be followed by one at the same place of the interval.
    place = math.floor(now / interval - phase + 0.5) + 1
    return (place + phase + _JITTER * (2 * random - 1)) * interval


def lapse_seconds(check: HealthCheck) -> float:
    """So long after its last check an endpoint is unhealthy; then who checks is dead, and nothing is known."""
    return max(3 * check.interval, _LONGEST_LAPSE)
