"""Latencies survive folding, encoding and merging."""

from __future__ import annotations

import random

import pytest

from loadgen.latency import Latencies, decode, empty_histogram, encode, merge, percentile_ms, summary


def latencies_of(values: list[int]) -> Latencies:
    latencies = Latencies()
    for part in (values[::2], values[1::2]):
        counts: dict[int, int] = {}
        for value in part:
            counts[value] = counts.get(value, 0) + 1
        latencies.fold(counts)
    return latencies


def test_percentiles_are_those_of_the_values_within_the_precision() -> None:
    draw = random.Random(3)
    values = sorted(int(draw.lognormvariate(7, 1.5)) for _ in range(20_000))
    latencies = latencies_of(values)
    found = summary(latencies.histogram(), latencies.total_us())
    assert found["count"] == 20_000
    assert found["mean"] == pytest.approx(sum(values) / 20_000_000, rel=2e-3)
    for name, place in (("p50", 9_999), ("p90", 17_999), ("p99", 19_799), ("p99_9", 19_979), ("max", 19_999)):
        assert found[name] == pytest.approx(values[place] / 1000, rel=2e-3)


@pytest.mark.parametrize(
    ("count", "name", "place"), [(26, "p90", 24), (60, "p99", 60), (600, "p99_9", 600), (6000, "p99_99", 6000), (1000, "p99_9", 999)]
)
def test_a_percentile_is_no_smaller_than_so_many_percent_of_few_values(count: int, name: str, place: int) -> None:
    latencies = latencies_of(list(range(1, count + 1)))
    assert summary(latencies.histogram(), 0)[name] == pytest.approx(place / 1000, abs=0.0005 if count < 2048 else 0.004)
    assert summary(merge([decode(encode(latencies.histogram()))]), 0)[name] == summary(latencies.histogram(), 0)[name]


def test_merged_histograms_are_the_histogram_of_all_values() -> None:
    draw = random.Random(4)
    parts = [[int(draw.expovariate(1 / scale)) for _ in range(3000)] for scale in (300, 3000, 300_000)]
    merged = merge(decode(encode(latencies_of(part).histogram())) for part in parts)
    together = latencies_of([value for part in parts for value in part])
    assert summary(merged, 0) == summary(together.histogram(), 0)
    assert sum(latencies_of(part).total_us() for part in parts) == together.total_us() == sum(map(sum, parts))


def test_nothing_recorded_has_a_count_and_no_figures() -> None:
    found = summary(decode(encode(empty_histogram())), 0)
    assert found.pop("count") == 0
    assert set(found.values()) == {None}


def test_latencies_beyond_the_range_count_as_its_ends() -> None:
    found = summary(latencies_of([-5, 10**12]).histogram(), 0)
    assert found["count"] == 2
    assert found["max"] == pytest.approx(3_600_000, rel=2e-3)


def test_coarse_percentiles_are_near() -> None:
    latencies = Latencies()
    coarse = latencies.fold({1000: 90, 50_000: 9, 400_000: 1}).tolist()
    assert percentile_ms(coarse, 50) == pytest.approx(1, rel=0.1)
    assert percentile_ms(coarse, 99) == pytest.approx(50, rel=0.1)
    assert percentile_ms(coarse, 100) == pytest.approx(400, rel=0.1)
    assert percentile_ms([0] * 257, 50) is None
