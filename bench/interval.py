"""A ratio of two things that were measured in pairs, and how sure it is.

The estimate is Hodges and Lehmann's: the median of the means of all two logarithms of ratios ("Estimates of location
based on rank tests", 1963). The interval is the one that Wilcoxon's signed-rank test does not reject: exact, whatever
the noise is like, as long as a pair that favours one of the two could as well have favoured the other. A few rounds in
which something else took the machine hardly move either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement
from statistics import median

from attrs import frozen

LEAST_PAIRS = 6  # fewer can't be 95 % sure of anything: all of 5 favour the same one in 1 of 16 runs
_DOUBT = 0.05


@frozen
class Interval:
    """What a ratio is, and the 95 % interval of it."""

    ratio: float
    low: float
    high: float


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Interval:
    """How many times the first of each pair the second is.

    Args:
        pairs: numbers above 0, `LEAST_PAIRS` pairs at least.

    Raises:
        ValueError: they are too few, or one of the numbers is not above 0.
    """
    if len(pairs) < LEAST_PAIRS:
        raise ValueError(f"{len(pairs)} pairs; at least {LEAST_PAIRS} are needed")
    if not all(0 < number < math.inf for pair in pairs for number in pair):
        raise ValueError("a ratio is of numbers above 0")
    logarithms = [math.log(second / first) for first, second in pairs]
    means = sorted((one + other) / 2 for one, other in combinations_with_replacement(logarithms, 2))
    outside = _outside(len(pairs))
    return Interval(math.exp(median(means)), math.exp(means[outside]), math.exp(means[-1 - outside]))


# Under the hypothesis every subset of the ranks 1 … n is as likely as any other to be those of the positive numbers,
# and the statistic is its sum.
def _outside(count: int) -> int:
    """How many of the means lie beyond either end: the greatest w such that P(W <= w) is at most half the doubt."""
    ways = [1]  # to get each sum, of the ranks so far
    for rank in range(1, count + 1):
        ways = [
            (ways[total] if total < len(ways) else 0) + (ways[total - rank] if 0 <= total - rank < len(ways) else 0)
            for total in range(len(ways) + rank)
        ]
    allowed = _DOUBT / 2 * 2**count
    below, outside = ways[0], 0
    while (below := below + ways[outside + 1]) <= allowed:
        outside += 1
    return outside
