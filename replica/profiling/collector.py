"""Counts the runs of Python's cyclic garbage collector and measures their pauses: while it runs, nothing else does."""

from __future__ import annotations

import gc
from time import perf_counter
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

HISTOGRAM_BUCKETS = 20
"""Of the pauses, in microseconds: bucket 0 for zeros, bucket i for ``[2**(i - 1), 2**i)``, the last for 0.26 s and more."""


@attrs.frozen
class CollectorStatistics:
    """What the collector has done since it is watched; all of it only grows, except for the longest pause."""

    collections: int = 0
    seconds: float = 0.0
    """All pauses together."""
    pause_seconds_max: float = 0.0
    freed: int = 0
    """Objects found to be garbage."""
    by_generation: tuple[int, ...] = (0, 0, 0)
    pauses_us: tuple[int, ...] = (0,) * HISTOGRAM_BUCKETS
    """Log2 histogram."""


class CollectorWatch:
    """Watches the collector of this process from ``start`` to ``stop``.

    Attributes:
        running: the collector is at work. What else sees this as true runs inside ``on_collection``, at the end of a collection.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        self.running = False
        self._began = 0.0
        self._seconds = self._pause_max = 0.0
        self._freed = 0
        self._by_generation = [0, 0, 0]
        self._pauses = [0] * HISTOGRAM_BUCKETS

    def start(self) -> None:
        """Begin to watch."""
        if self.on_collection not in gc.callbacks:
            gc.callbacks.append(self.on_collection)

    def stop(self) -> None:
        """Watch no longer; the counts stay."""
        if self.on_collection in gc.callbacks:
            gc.callbacks.remove(self.on_collection)
        self.running = False

    def on_collection(self, phase: str, info: Mapping[str, int]) -> None:
        """Take note of the beginning or the end of a collection; called by the collector."""
        if phase == "start":
            self._began = perf_counter()
            self.running = True
        elif self.running:
            pause = perf_counter() - self._began
            self.running = False
            self._seconds += pause
            self._pause_max = max(self._pause_max, pause)
            self._freed += info["collected"]
            self._by_generation[info["generation"]] += 1
            self._pauses[min(int(pause * 1e6).bit_length(), HISTOGRAM_BUCKETS - 1)] += 1

    def statistics(self) -> CollectorStatistics:
        """Return what was counted."""
        generations, pauses = tuple(self._by_generation), tuple(self._pauses)
        return CollectorStatistics(sum(generations), self._seconds, self._pause_max, self._freed, generations, pauses)

    def counters(self) -> dict[str, object]:
        """Return the counts for ``/counters`` and ``/metrics``."""
        told = self.statistics()
        pauses = {"seconds": told.seconds, "pause_seconds_max": told.pause_seconds_max, "pauses_us": list(told.pauses_us)}
        return {"collections": told.collections, "freed": told.freed, **pauses}

    def forget_longest(self) -> None:
        """Begin a window: the longest pause is the longest from now on."""
        self._pause_max = 0.0


COLLECTOR = CollectorWatch()
"""The process has one collector, so it has one watch; whoever wants the figures starts it."""
