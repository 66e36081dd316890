"""The silences of calls, by the fault during which they happened."""

from __future__ import annotations

from statistics import median

from attrs import Factory, define


@define(eq=False)
class Silences:
    """Each call's longest silence in each window.

    Args:
        longest: window → call → seconds in which bytes were due and none arrived.
    """

    longest: dict[str, dict[int, float]] = Factory(dict)

    def add(self, window: str, call: int, seconds: float) -> None:
        """Note a call's longest silence since the window began; a longer one may have been noted already."""
        calls = self.longest.setdefault(window, {})
        calls[call] = max(calls.get(call, 0.0), seconds)

    def figures(self) -> dict[str, tuple[float, float, float]]:
        """By window: the median, the 99th percentile and the maximum over all calls, in seconds."""
        return {window: _spread(sorted(calls.values())) for window, calls in self.longest.items()}


def _spread(seconds: list[float]) -> tuple[float, float, float]:
    return median(seconds), seconds[int(len(seconds) * 0.99)], seconds[-1]
