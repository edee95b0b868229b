"""Intervals say what they are worth: exact for medians, by resampling for ratios of two sides."""

from __future__ import annotations

import random
import statistics

import pytest

from loadgen.intervals import Ratio, median_of, paired_ratio_of, ratio_of, ratio_of_means


@pytest.mark.parametrize(
    ("count", "low", "high", "coverage"),
    [(2, 1, 2, 0.5), (3, 1, 3, 0.75), (5, 1, 5, 0.9375), (6, 1, 6, 0.9688), (9, 2, 8, 0.9609), (20, 6, 15, 0.9586)],
)
def test_the_interval_of_a_median_is_the_narrowest_that_reaches_95_percent_or_the_range(count: int, low: int, high: int, coverage: float) -> None:
    values = [float(number) for number in range(1, count + 1)]
    random.Random(count).shuffle(values)
    found = median_of(values)
    assert found.median == statistics.median(values)
    assert (found.low, found.high, found.coverage) == (low, high, coverage)
    assert (found.least, found.most, found.runs) == (1.0, float(count), count)


def test_the_coverage_that_is_told_is_the_coverage_there_is() -> None:
    draw = random.Random(1)
    found = [median_of([draw.expovariate(1.0) for _ in range(9)]) for _ in range(2000)]
    true = 0.6931  # the median of that distribution
    held = sum(one.low is not None and one.high is not None and one.low <= true <= one.high for one in found) / len(found)
    assert held == pytest.approx(found[0].coverage, abs=0.02)


def test_one_value_has_no_interval() -> None:
    assert median_of([7.0]).low is None
    assert median_of([7.0]).coverage is None
    assert ratio_of([7.0], [14.0]) == Ratio(2.0, None, None, None)
    assert paired_ratio_of([7.0], [14.0]) == Ratio(2.0, None, None, None)


def test_a_ratio_of_two_sides_is_by_resampling_and_the_same_every_time() -> None:
    before, after = [100.0, 110.0, 90.0, 105.0, 95.0], [200.0, 220.0, 180.0, 210.0, 190.0]
    found = ratio_of(before, after)
    assert found is not None
    assert found == ratio_of(before, after)
    assert found.ratio == 2.0
    assert found.low is not None
    assert found.high is not None
    assert 180 / 110 <= found.low < 2.0 < found.high <= 220 / 90
    assert found.differs


def test_a_mean_of_seconds_sees_the_standstill_that_a_median_does_not() -> None:
    draw = random.Random(1)
    before, after = ([float(draw.randint(9800, 10_200)) for _ in range(20)] for _ in range(2))
    steady = ratio_of_means(before, after)
    assert steady is not None
    assert not steady.differs
    assert steady.ratio == statistics.fmean(after) / statistics.fmean(before)
    after[8:13] = [0.0] * 5
    found = ratio_of_means(before, after)
    assert found is not None
    assert found == ratio_of_means(before, after)
    assert found.ratio == pytest.approx(0.75, abs=0.01)
    assert found.low is not None
    assert found.high is not None
    assert 0.4 < found.low < 0.65
    assert 0.85 < found.high < 0.96
    assert found.differs
    medians = ratio_of(before, after)
    assert medians is not None
    assert not medians.differs


def test_equal_sides_seldom_differ() -> None:
    draw = random.Random(2)
    pairs = [[[draw.lognormvariate(0, 0.2) for _ in range(5)] for _ in range(2)] for _ in range(300)]
    found = [ratio_of(before, after) for before, after in pairs]
    assert sum(one is not None and one.differs for one in found) / len(found) < 0.07


def test_sides_that_overlap_do_not_differ() -> None:
    found = ratio_of([100.0, 120.0, 80.0], [90.0, 110.0, 130.0])
    assert found is not None
    assert not found.differs
    assert not Ratio(2.0, None, None, None).differs


def test_two_runs_say_nothing_of_their_spread() -> None:
    assert ratio_of([1.0, 1.0], [2.0, 2.0, 2.0]) == Ratio(2.0, None, None, None)


def test_pairs_are_compared_within_their_repeat() -> None:
    found = paired_ratio_of([100.0, 10.0, 50.0, 20.0, 40.0, 80.0], [200.0, 20.0, 100.0, 40.0, 80.0, 160.0])
    assert found == Ratio(2.0, 2.0, 2.0, 0.9688)


def test_nothing_is_not_divided_by() -> None:
    assert ratio_of([0.0, 0.0], [1.0]) is None
    assert ratio_of([], [1.0]) is None
    assert ratio_of_means([0.0, 0.0], [1.0]) is None
    assert ratio_of_means([1.0], []) is None
    assert paired_ratio_of([1.0, 0.0], [1.0, 1.0]) is None
    assert paired_ratio_of([], []) is None
    half_nothing = ratio_of([0.0, 1.0, 2.0], [1.0, 1.0, 1.0])
    assert half_nothing == Ratio(1.0, None, None, None)
