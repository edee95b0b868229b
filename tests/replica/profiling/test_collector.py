from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from replica.profiling.collector import HISTOGRAM_BUCKETS, CollectorWatch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def watch() -> Iterator[CollectorWatch]:
    watch = CollectorWatch()
    watch.start()
    yield watch
    watch.stop()


def make_garbage(cycles: int) -> None:
    for _ in range(cycles):
        ring: list[object] = []
        ring.append(ring)


def test_a_collection_is_counted_with_its_pause_and_what_it_freed(watch: CollectorWatch) -> None:
    gc.collect()
    before = watch.statistics()
    make_garbage(100)
    gc.collect()
    told = watch.statistics()
    assert told.by_generation[2] - before.by_generation[2] == 1
    assert told.collections == sum(told.by_generation)
    assert told.freed - before.freed >= 100
    assert 0 < told.pause_seconds_max <= told.seconds
    assert sum(told.pauses_us) == told.collections
    assert not watch.running


def test_watching_twice_counts_once(watch: CollectorWatch) -> None:
    watch.start()
    before = watch.statistics().by_generation[1]
    gc.collect(1)
    assert watch.statistics().by_generation[1] == before + 1


def test_nothing_is_counted_after_the_end(watch: CollectorWatch) -> None:
    watch.stop()
    watch.stop()
    before = watch.statistics()
    gc.collect()
    assert watch.statistics() == before


def test_the_end_of_a_collection_whose_beginning_was_not_seen_is_none(watch: CollectorWatch) -> None:
    before = watch.statistics()
    watch.on_collection("stop", {"generation": 0, "collected": 5})
    assert watch.statistics() == before


def test_the_longest_pause_is_that_of_the_window(watch: CollectorWatch) -> None:
    gc.collect()
    watch.forget_longest()
    assert watch.statistics().pause_seconds_max == 0
    assert watch.statistics().seconds > 0


def test_counters_are_numbers_and_one_histogram(watch: CollectorWatch) -> None:
    gc.collect()
    told = watch.counters()
    assert set(told) == {"collections", "freed", "seconds", "pause_seconds_max", "pauses_us"}
    assert len(told["pauses_us"]) == HISTOGRAM_BUCKETS  # type: ignore[arg-type]
