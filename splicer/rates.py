"""The values of a route's `rate_limit`."""

from __future__ import annotations

from attrs import frozen

UNITS = {"s": 1, "m": 60, "h": 3600}  # seconds


@frozen
class Rate:
    """So many requests in a unit of time.

    Args:
        count: the number of requests.
        unit: a key of `UNITS`.
    """

    count: int
    unit: str

    def __str__(self) -> str:
        return f"{self.count}/{self.unit}"

    @property
    def interval(self) -> float:
        """Seconds between two requests at this rate."""
        return UNITS[self.unit] / self.count


@frozen
class RateLimit:
    """The limit of a route.

    Args:
        rate: how many requests may come in the long run.
        burst: how many may come at once.
        by: "client", "route", or "header:" with a field name in lower case.
    """

    rate: Rate
    burst: int
    by: str = "client"
