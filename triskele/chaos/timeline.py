"""What users noticed of a run: completions by tenths of a second, and around each fault how long nothing strong completed."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STEPS_PER_SECOND = 10


@attrs.frozen
class Completions:
    """When commands completed, seconds after the load began, in order; strong and causal ones."""

    strong: list[float]
    causal: list[float]

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]], start_ns: int) -> Completions:
        """Take them from a history's events (``loadgen.history``); ``start_ns``: when the load began, CLOCK_MONOTONIC."""
        found: dict[str, list[float]] = {"strong": [], "causal": []}
        for event in events:
            if event["type"] == "ok":
                found[event["consistency"]].append((event["time"] - start_ns) / 1e9)
        return cls(sorted(found["strong"]), sorted(found["causal"]))

    def series(self, seconds: float) -> list[list[float]]:
        """Return ``[second, strong, causal]`` for each tenth of a second from 0: completions in it, as a rate per second."""
        rows = []
        for step in range(int(seconds * STEPS_PER_SECOND)):
            low, high = step / STEPS_PER_SECOND, (step + 1) / STEPS_PER_SECOND
            rows.append([low, *(within(own, low, high) * STEPS_PER_SECOND for own in (self.strong, self.causal))])
        return rows

    def rate(self, low: float, high: float) -> float:
        """Return completions a second between two moments."""
        if high <= low:
            return 0.0
        return round((within(self.strong, low, high) + within(self.causal, low, high)) / (high - low), 1)

    def again(self, at: float) -> float | None:
        """Return the seconds from a moment until a strong command completes; None if none does."""
        place = bisect_left(self.strong, at)
        return round(self.strong[place] - at, 3) if place < len(self.strong) else None

    def silence(self, low: float, high: float) -> float:
        """Return the longest time without a strong completion that touches a span; the span's ends count as completions where there are none."""
        first, last = bisect_left(self.strong, low), bisect_right(self.strong, high)
        ends = [self.strong[first - 1] if first else low, *self.strong[first:last], self.strong[last] if last < len(self.strong) else high]
        return round(max(later - earlier for earlier, later in itertools.pairwise(ends)), 3)


def within(moments: list[float], low: float, high: float) -> int:
    """Return how many of ordered moments lie from ``low`` to before ``high``."""
    return bisect_left(moments, high) - bisect_left(moments, low)
