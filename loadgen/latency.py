"""Latencies: counted per whole microsecond while the load runs, HDR histograms afterwards.

Recording a latency must cost less than what it measures, so a run of commands that completes together is one addition to a dict
``{microseconds: commands}``. Once a second these dicts are folded into arrays with numpy (no loop over their items), and only the end of the
run pays for HDR histograms, which merge across processes without losing the tails.

Rejected: recording into the HDR histogram directly (2 us a value in Python), keeping every sample (an hour's run would not fit), averaging
percentiles of processes or seconds (they do not average).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

LATENCY_US_MAX: Final = 3_600_000_000
"""Largest latency kept, one hour; longer ones count as this."""

_DIGITS: Final = 3
_EXACT_US: Final = 1 << 16  # below it every microsecond has its own place; above it (65 ms) latencies are rare and go into a dict
_COARSE_PER_OCTAVE: Final = 8
_COARSE_PLACES: Final = 32 * _COARSE_PER_OCTAVE + 1
PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "p99_99": 99.99}


class _Histogram(HdrHistogram):  # type: ignore[misc]  # the package has no types
    """A histogram whose percentiles are no smaller than so many percent of all values; the package's own rank is rounded, so that the 99.9th of
    600 values was the last but one, with 99.83 % of them."""

    def get_target_count_at_percentile(self, percentile: float) -> int:
        """Return the rank of the percentile's value, from 1."""
        return max(1, math.ceil(round(percentile * int(self.get_total_count()) / 100, 6)))


class Latencies:
    """Latencies of one class of commands over a window."""

    def __init__(self) -> None:
        self._exact = np.zeros(_EXACT_US, np.int64)
        self._long: dict[int, int] = {}  # {microseconds: commands}

    def fold(self, counts: dict[int, int]) -> NDArray[np.int64]:
        """Add ``{microseconds: commands}`` and return them coarsely, for ``percentile_ms``."""
        size = len(counts)
        microseconds = np.fromiter(counts.keys(), np.int64, size)
        commands = np.fromiter(counts.values(), np.int64, size)
        np.clip(microseconds, 0, LATENCY_US_MAX, out=microseconds)
        exact = microseconds < _EXACT_US
        np.add.at(self._exact, microseconds[exact], commands[exact])
        rest = ~exact
        for value, count in zip(microseconds[rest].tolist(), commands[rest].tolist(), strict=True):
            self._long[value] = self._long.get(value, 0) + count
        places = (np.log2(microseconds + 1.0) * _COARSE_PER_OCTAVE).astype(np.int64)
        return np.bincount(places, weights=commands, minlength=_COARSE_PLACES).astype(np.int64)

    def histogram(self) -> HdrHistogram:
        """Return the HDR histogram of everything folded, in microseconds."""
        histogram = empty_histogram()
        seen = np.flatnonzero(self._exact)
        for value, count in zip(seen.tolist(), self._exact[seen].tolist(), strict=True):
            histogram.record_value(value, count)
        for value, count in self._long.items():
            histogram.record_value(value, count)
        return histogram

    def total_us(self) -> int:
        """Return the sum of everything folded, in microseconds."""
        return int(self._exact @ np.arange(_EXACT_US)) + sum(value * count for value, count in self._long.items())


def empty_histogram() -> HdrHistogram:
    """Return a histogram of the range and precision that all of ours share."""
    return _Histogram(1, LATENCY_US_MAX, _DIGITS)


def merge(histograms: Iterable[HdrHistogram]) -> HdrHistogram:
    """Return the sum of histograms."""
    merged = empty_histogram()
    for histogram in histograms:
        merged.add(histogram)
    return merged


def encode(histogram: HdrHistogram) -> str:
    """Return a histogram as text (HdrHistogram V2, compressed, base64)."""
    text: bytes | str = histogram.encode()
    return text.decode() if isinstance(text, bytes) else text


def decode(text: str) -> HdrHistogram:
    """Return the histogram that ``encode`` wrote."""
    return HdrHistogram.decode(text)


def summary(histogram: HdrHistogram, total_us: int) -> dict[str, float | int | None]:
    """Return count, mean, percentiles and maximum in milliseconds; None for all but the count where nothing was recorded.

    Args:
        histogram: of microseconds.
        total_us: their sum, for the mean (the histogram's own takes a loop over all its buckets).
    """
    count = int(histogram.get_total_count())
    if not count:
        return {"count": 0, "mean": None, **dict.fromkeys(PERCENTILES), "max": None}
    found = histogram.get_percentile_to_value_dict(list(PERCENTILES.values()))
    values = {name: found[percentile] for name, percentile in PERCENTILES.items()}
    values = {"mean": total_us / count, **values, "max": histogram.get_max_value()}
    return {"count": count, **{name: round(value / 1000, 4) for name, value in values.items()}}


def percentile_ms(coarse: Sequence[int], percentile: float) -> float | None:
    """Return a percentile of coarse counts in milliseconds (within 9 %), None where they are empty: good for a progress line only."""
    total = sum(coarse)
    if not total:
        return None
    reached = np.cumsum(coarse) >= total * percentile / 100
    return float((2 ** ((int(reached.argmax()) + 0.5) / _COARSE_PER_OCTAVE) - 1) / 1000)
