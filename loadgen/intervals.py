"""How sure a median is, and a ratio of medians: 95 % intervals from a handful of runs, assuming nothing of how they are distributed.

*Of a median*: order statistics. The k-th smallest and the k-th largest of n values hold the median between them with a probability that only n and
k decide (a coin for each value: above or below), so the interval is exact and drawn by no lot. Fewer than six values cannot reach 95 %: they give
their whole range, and ``coverage`` says what that is worth (five: 94 %, three: 75 %).

*Of a ratio of pairs* (runs of one repeat, which met the same minutes): likewise, of the ratios. *Of a ratio of two sides*: the percentile bootstrap,
2,000 resamples by a seed, each side for itself, from three runs on each side on. Of equal sides whose logarithms are normal it held 1 in 90 % of
samples with three runs each, in 97 % with five, seven or nine. *Of two single runs*: the same of the means of their seconds, for a run's rate is a
mean: a median would not see that one of them stood still for a quarter of its time. Of equal sides it held 1 in 80 % with three seconds each, in
88 % with five, in 93 % with ten and more.

Rejected: means of runs and standard errors (one run that met a stall would decide), Student's t (rates of a shared machine have tails and steps).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

LEVEL: Final = 0.95
RESAMPLES: Final = 2000
BOOTSTRAP_MIN: Final = 3
"""Values of each side; fewer say nothing of their spread."""
SEED: Final = 1
_TAILS: Final = [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]


@attrs.frozen
class Median:
    """A median of runs.

    Attributes:
        median: Of all values.
        low, high: Its interval; None where one value alone tells nothing.
        coverage: Probability that the interval holds the true median; None without one.
        least, most: The smallest and the largest value.
        runs: How many values there were.
    """

    median: float
    low: float | None
    high: float | None
    coverage: float | None
    least: float
    most: float
    runs: int


@attrs.frozen
class Ratio:
    """How much larger one side is than the other.

    Attributes:
        ratio: Of the medians or means, or the median of the ratios of pairs.
        low, high: Its interval; None where there are too few values.
        coverage: Probability that the interval holds the true ratio; None without one.
    """

    ratio: float
    low: float | None
    high: float | None
    coverage: float | None

    @property
    def differs(self) -> bool:
        """Whether there is an interval and it excludes 1."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def median_of(values: Sequence[float]) -> Median:
    """Return the median of at least one value, and its interval."""
    ordered = sorted(values)
    count = len(ordered)
    middle = float(np.median(ordered))
    if count == 1:
        return Median(middle, None, None, None, ordered[0], ordered[0], 1)
    out = next((k for k in range((count - 1) // 2, -1, -1) if _coverage(count, k) >= LEVEL), 0)
    return Median(middle, ordered[out], ordered[-1 - out], round(_coverage(count, out), 4), ordered[0], ordered[-1], count)


def _coverage(count: int, out: int) -> float:
    """Return the probability that the median lies between the values that have ``out`` others beyond them on their side."""
    return 1 - sum(math.comb(count, below) for below in range(out + 1)) / float(1 << (count - 1))


def ratio_of(before: Sequence[float], after: Sequence[float]) -> Ratio | None:
    """Return the median of ``after`` over that of ``before``; None where there is nothing to divide by."""
    return _ratio(before, after, np.median)


def ratio_of_means(before: Sequence[float], after: Sequence[float]) -> Ratio | None:
    """Return the mean of ``after``, seconds of a run, over that of ``before``; None where there is nothing to divide by."""
    return _ratio(before, after, np.mean)


def _ratio(before: Sequence[float], after: Sequence[float], middle: Callable[..., Any]) -> Ratio | None:
    if not before or not after or not (below := float(middle(before))):
        return None
    ratio = float(middle(after)) / below
    if min(len(before), len(after)) < BOOTSTRAP_MIN:
        return Ratio(ratio, None, None, None)
    draw = np.random.default_rng(SEED)
    below_each, above_each = (middle(_resampled(draw, side), axis=1) for side in (before, after))
    return _between(ratio, above_each / np.where(below_each, below_each, np.nan))


def paired_ratio_of(before: Sequence[float], after: Sequence[float]) -> Ratio | None:
    """Return the median of the ratios of pairs, one pair for each repeat; None without pairs, or where one has nothing to divide by."""
    if not before or not all(before):
        return None
    found = median_of([above / below for below, above in zip(before, after, strict=True)])
    return Ratio(found.median, found.low, found.high, found.coverage)


def _resampled(draw: np.random.Generator, values: Sequence[float]) -> NDArray[np.float64]:
    return draw.choice(np.asarray(values, np.float64), (RESAMPLES, len(values)))


def _between(ratio: float, resampled: NDArray[np.float64]) -> Ratio:
    """Return a ratio with the interval that its resamples give; None instead of one where some have nothing to divide by."""
    low, high = map(float, np.percentile(resampled, _TAILS))
    return Ratio(ratio, None, None, None) if math.isnan(low) else Ratio(ratio, low, high, LEVEL)
