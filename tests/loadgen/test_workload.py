"""What the streams draw: shares, frequencies, and that slices are a partition of the blocks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import workload as w


def drawn(settings: w.WorkloadSettings, stream: int = 0, operations: int = 20_480, step: int = 512) -> list[w.Slice]:
    source = w.Operations(settings, stream, w.KeySampler(settings.key_space, settings.zipf))
    slices, left = [], operations
    while left:
        slices.append(source.take(min(step, left)))
        left -= slices[-1][0]
    return slices


def by_class(slices: list[w.Slice]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in w.CLASSES}
    for _, causal, strong, writes in slices:
        columns["causal_read"] += causal
        columns["strong_read"] += strong
        if writes is not None:
            for name, keys in zip(w.CLASSES[2:], writes[::2], strict=True):
                columns[name] += keys
    return columns


def shares(settings: w.WorkloadSettings) -> dict[str, float]:
    columns = by_class(drawn(settings))
    total = sum(map(len, columns.values()))
    return {name: round(100 * len(keys) / total) for name, keys in columns.items()}


@pytest.mark.parametrize("theta", [0.5, 0.9, 0.99, 1.2])
@pytest.mark.parametrize("key_space", [1, 2, 3, 10, 1000, 100_000])
def test_the_alias_table_has_exactly_the_zipf_probabilities(key_space: int, theta: float) -> None:
    sampler = w.KeySampler(key_space, theta)
    assert sampler.kept is not None
    assert sampler.alias is not None
    probabilities = sampler.kept.copy()
    np.add.at(probabilities, sampler.alias, 1 - sampler.kept)
    weights = np.arange(1, key_space + 1) ** -theta
    np.testing.assert_allclose(probabilities / key_space, weights / weights.sum(), rtol=1e-6)
    assert 0 <= sampler.kept.min() <= sampler.kept.max() <= 1 + 1e-12


def test_drawn_keys_follow_zipf() -> None:
    numbers = w.KeySampler(1000, 0.9).draw(np.random.default_rng(5), 400_000)
    weights = np.arange(1, 1001) ** -0.9
    expected = 400_000 * weights / weights.sum()
    counted = np.bincount(numbers, minlength=1000)
    chi_square = ((counted - expected) ** 2 / expected).sum()
    assert chi_square < 999 + 5 * (2 * 999) ** 0.5  # five standard deviations above its mean


def test_without_zipf_keys_are_uniform() -> None:
    counted = np.bincount(w.KeySampler(100, 0).draw(np.random.default_rng(5), 100_000), minlength=100)
    assert ((counted - 1000) ** 2 / 1000).sum() < 99 + 5 * (2 * 99) ** 0.5


def test_key_names() -> None:
    assert w.key_column(np.array([0, 7, 12_345_678])) == [b"key:00000000", b"key:00000007", b"key:12345678"]


def test_the_seed_workload_has_its_shares() -> None:
    assert shares(w.WorkloadSettings()) == {"causal_read": 45, "strong_read": 45, "causal_write": 5, "strong_write": 5, "modify": 0}


def test_every_percentage_moves_its_own_share() -> None:
    settings = w.WorkloadSettings(causal_percent=20, write_percent=50, causal_write_percent=25)
    assert shares(settings) == {"causal_read": 15, "strong_read": 40, "causal_write": 5, "strong_write": 40, "modify": 0}
    assert shares(w.WorkloadSettings(causal_percent=100, causal_write_percent=100))["causal_write"] == 100
    assert shares(w.WorkloadSettings(causal_percent=0, write_percent=0))["strong_read"] == 100


@pytest.mark.parametrize(
    ("name", "reads", "writes", "modifies"),
    [("a", 50, 50, 0), ("b", 95, 5, 0), ("c", 100, 0, 0), ("d", 95, 5, 0), ("e", 95, 5, 0), ("f", 50, 0, 50)],
)
def test_ycsb_mixes(name: str, reads: int, writes: int, modifies: int) -> None:
    found = shares(w.WorkloadSettings(workload=f"ycsb-{name}"))
    assert abs(found["causal_read"] + found["strong_read"] - reads) <= 1
    assert abs(found["causal_write"] + found["strong_write"] - writes) <= 1
    assert abs(found["modify"] - modifies) <= 1
    assert sum(w.WorkloadSettings(workload=f"ycsb-{name}").shares()) == pytest.approx(1)


@pytest.mark.parametrize("name", w.WORKLOADS)
def test_the_same_seed_gives_the_same_operations_and_another_does_not(name: str) -> None:
    settings = w.WorkloadSettings(workload=name, conflict_percent=0 if name in {"ycsb-d", "ycsb-e"} else 5)
    first = drawn(settings, operations=5000)
    assert first == drawn(settings, operations=5000)
    assert by_class(first) != by_class(drawn(attrs.evolve(settings, seed=2), operations=5000))
    assert by_class(first) != by_class(drawn(settings, stream=1, operations=5000))


@given(st.lists(st.integers(1, 3 * w.BLOCK), min_size=1, max_size=30), st.sampled_from(w.WORKLOADS))
def test_however_a_stream_is_cut_it_is_the_same_stream(steps: list[int], name: str) -> None:
    """No operation is lost or repeated: the cuts' columns, put together, are those of a stream taken in whole blocks."""
    settings = w.WorkloadSettings(workload=name, key_space=1000, value_bytes=8, unique="t")
    sampler = w.KeySampler(1000, 0.9)
    cut, whole = w.Operations(settings, 3, sampler), w.Operations(settings, 3, sampler)
    pieces = []
    for step in steps:
        count, causal, strong, writes = piece = cut.take(step)
        assert 0 < count <= step
        assert count == len(causal) + len(strong) + (sum(map(len, writes[::2])) if writes else 0)
        assert writes is None or list(map(len, writes[::2])) == list(map(len, writes[1::2]))
        pieces.append(piece)
    taken = sum(piece[0] for piece in pieces)
    pieces += [cut.take(w.BLOCK) for _ in range(1 if taken % w.BLOCK else 0)]
    blocks = [whole.take(w.BLOCK) for _ in range(sum(piece[0] for piece in pieces) // w.BLOCK)]
    assert by_class(pieces) == by_class(blocks)


def test_upcoming_tells_the_classes_of_what_take_takes() -> None:
    source = w.Operations(w.WorkloadSettings(workload="ycsb-f"), 0, w.KeySampler(1000, 0.9))
    for step in (1, 7, w.BLOCK, w.BLOCK, 5):
        order = source.upcoming(step)
        count, causal, strong, writes = source.take(len(order))
        sizes = [len(causal), len(strong), *(map(len, writes[::2]) if writes else (0, 0, 0))]
        assert (count, sizes) == (len(order), [order.count(class_) for class_ in range(len(w.CLASSES))])


def test_conflicts_go_to_the_hot_key_until_they_are_calmed() -> None:
    source = w.Operations(w.WorkloadSettings(conflict_percent=10), 0, w.KeySampler(1000, 0.9))
    keys = [key for column in by_class([source.take(w.BLOCK) for _ in range(10)]).values() for key in column]
    assert 0.09 < keys.count(w.HOT_KEY) / len(keys) < 0.11
    source.take(100)
    source.calm()
    assert w.HOT_KEY not in [key for column in by_class([source.take(w.BLOCK) for _ in range(3)]).values() for key in column]


def test_values_are_unique_when_asked_and_keep_their_size() -> None:
    settings = w.WorkloadSettings(workload="ycsb-a", value_bytes=40, unique="r1")
    values = [value for stream in (0, 1) for _, _, _, writes in drawn(settings, stream) if writes for value in [*writes[1], *writes[3]]]
    assert len(set(map(str, values))) == len(values) > 10_000
    assert {len(value) for value in values if isinstance(value, bytes)} == {40}


def test_values_out_of_the_pool_have_their_size() -> None:
    for size in (0, 1, 100, 1 << 20):
        source = w.ValueSource(w.WorkloadSettings(value_bytes=size), 0, np.random.default_rng(1))
        assert {len(value) for _ in range(5) for value in source.draw(1000) if isinstance(value, bytes)} == {size}


def test_inserts_of_all_streams_are_new_and_different() -> None:
    settings = w.WorkloadSettings(workload="ycsb-e", streams=3, key_space=1000)
    columns = [by_class(drawn(settings, stream)) for stream in range(3)]
    inserted = [key for column in columns for key in [*column["causal_write"], *column["strong_write"]]]
    assert len(set(inserted)) == len(inserted)
    assert min(inserted) >= b"key:00001000"
    assert all(isinstance(scan, list) and scan[1] is None and 1 <= scan[2] <= w.SCAN_ROWS_MAX for scan in columns[0]["strong_read"])


def test_reads_of_the_latest_follow_the_inserts() -> None:
    settings = w.WorkloadSettings(workload="ycsb-d", key_space=100_000, zipf=0.99)
    slices = drawn(settings, operations=40_960)
    read = Counter(key for name in ("causal_read", "strong_read") for key in by_class(slices[-8:])[name])
    newest = max(by_class(slices)["strong_write"])
    middle = sorted(read.elements())[sum(read.values()) // 2]
    assert int(newest[4:]) - int(middle[4:]) < 5000  # half of the reads are among the newest twentieth
    assert max(read) <= newest


def test_preload_writes_each_key_once() -> None:
    settings = w.WorkloadSettings(key_space=10_000, streams=3)
    keys = []
    for stream in range(3):
        source = w.Preload(settings, stream)
        while (piece := source.take(700))[0]:
            assert piece[3] is not None
            keys += piece[3][2]
    assert sorted(keys) == w.key_column(np.arange(10_000))
