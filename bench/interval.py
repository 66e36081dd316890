"""The ratio of two quantities that were measured in pairs, and its confidence interval.

The estimate is that of Hodges and Lehmann: the median of the pairwise means of the logarithms of the ratios ("Estimates
of location based on rank tests", 1963). The interval holds the values that Wilcoxon's signed-rank test does not reject.
It is exact for any noise that is symmetric: a pair is as likely to favour one side as the other. A few rounds that
another process disturbed hardly move either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement
from statistics import median

from attrs import frozen

LEAST_PAIRS = 6  # fewer pairs give no 95 % interval: by chance, all of 5 favour the same side in 1 of 16 runs
_ERROR_RATE = 0.05


@frozen
class Interval:
    """A ratio with its 95 % interval."""

    ratio: float
    low: float
    high: float


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Interval:
    """Estimate the ratio of the second of each pair to the first.

    Args:
        pairs: numbers above 0; at least `LEAST_PAIRS` pairs.

    Raises:
        ValueError: there are too few pairs, or a number is not above 0.
    """
    if len(pairs) < LEAST_PAIRS:
        raise ValueError(f"{len(pairs)} pairs; at least {LEAST_PAIRS} are needed")
    if not all(0 < number < math.inf for pair in pairs for number in pair):
        raise ValueError("a ratio is of numbers above 0")
    logarithms = [math.log(second / first) for first, second in pairs]
    means = sorted((one + other) / 2 for one, other in combinations_with_replacement(logarithms, 2))
    outside = _outside(len(pairs))
    return Interval(math.exp(median(means)), math.exp(means[outside]), math.exp(means[-1 - outside]))


# Under the null hypothesis every subset of the ranks 1 … n is equally likely to be the ranks of the positive numbers;
# the statistic is the sum of that subset.
def _outside(count: int) -> int:
    """The number of means outside each end of the interval: the largest w with P(W <= w) at most half of 5 %."""
    ways = [1]  # of each sum, with the ranks so far
    for rank in range(1, count + 1):
        ways = [
            (ways[total] if total < len(ways) else 0) + (ways[total - rank] if 0 <= total - rank < len(ways) else 0)
            for total in range(len(ways) + rank)
        ]
    allowed = _ERROR_RATE / 2 * 2**count
    below, outside = ways[0], 0
    while (below := below + ways[outside + 1]) <= allowed:
        outside += 1
    return outside
