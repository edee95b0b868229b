"""The measured window of one client process: what counts, when, and the series over it.

A run has a warm-up, a window and a drain. What completes inside the window counts, wherever it started; what completes outside never does.
The edges are exact: whoever handles completions reads the clock once and calls ``roll`` when a boundary has passed, *before* counting. A timer
calls it too, so that the series goes on while nothing completes.

Everything here is per process; ``loadgen.report`` adds processes up.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

import attrs

from loadgen.latency import Latencies, encode
from loadgen.workload import CAUSAL_WRITE, CLASSES
from replica.statistics import process_statistics

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS_PER_SECOND: Final = 10
"""The series has a row for each tenth of a second."""

MEASURED: Final = CLASSES[:4]
"""Classes that have latencies of their own; a modification is measured as the strong write that ends it."""


@attrs.frozen
class Second:
    """One second of the load for the progress line. ``coarse``: see ``loadgen.latency.percentile_ms``; ``second`` is the window's that ended; 0 and
    less: the warm-up's."""

    second: int
    operations: int
    failed: int
    unknown: int
    coarse: list[int]


class Window:
    """Counts of one process. The hot path adds to ``counts``, ``operations``, ``fast`` and ``slow`` directly.

    Args:
        begin: when the warm-up begins, in seconds of the caller's clock.
        start: when the window opens.
        end: when it closes; infinity when a number of operations closes it (``close``).
        on_open: called when it has opened, after everything before it was counted and forgotten.
        on_close: called when it has closed.
    """

    def __init__(self, begin: float, start: float, end: float, on_open: Callable[[], None], on_close: Callable[[], None]) -> None:
        self.begin, self.start, self.end = begin, start, end
        self._on_open, self._on_close = on_open, on_close
        self.counts: list[dict[int, int]] = [{} for _ in MEASURED]  # by class: {microseconds: operations} since the last fold
        self.operations = self.fast = self.slow = 0  # since the last boundary
        self.failed = self.unknown = 0
        self.rows: list[tuple[int, int, int]] = []  # [step of the window: (operations, fast, slow)]
        self.is_open = self.is_closed = False
        self.seconds: list[Second] = []  # finished, not yet reported
        self._latencies = [Latencies() for _ in MEASURED]
        self._step = -math.ceil((start - begin) * STEPS_PER_SECOND)  # number of the running step; 0 is the window's first
        self._in_second = 0
        self._cpu_seconds = 0.0
        self.boundary = self._next_boundary()
        if self._step >= 0:
            self._step, self.boundary = -1, start

    @classmethod
    def idle(cls) -> Window:
        """Return a window that never opens: what completes before a measurement goes there."""
        window = cls(0.0, 0.0, math.inf, _nothing, _nothing)
        window.boundary = math.inf
        return window

    def roll(self, moment: float) -> None:
        """Close every step that ends at or before ``moment``."""
        while moment >= self.boundary and not self.is_closed:
            if self.is_open:
                self.rows.append((self.operations, self.fast, self.slow))
            self._in_second += self.operations
            self.operations = self.fast = self.slow = 0
            if self.boundary >= self.end:
                whole = (self._step + 1) % STEPS_PER_SECOND == 0 and self.boundary == self.start + (self._step + 1) / STEPS_PER_SECOND
                self._finish(self.end, whole_second=whole)
                return
            self._step += 1
            if self._step % STEPS_PER_SECOND == 0:
                self._fold(self._step // STEPS_PER_SECOND)
            if self._step == 0:
                self._open()
            self.boundary = self._next_boundary()

    def close(self, moment: float) -> None:
        """Close the window now, in the middle of a step: the wanted number of operations is complete."""
        if not self.is_closed:
            self.rows.append((self.operations, self.fast, self.slow))
            self._in_second += self.operations
            self.operations = self.fast = self.slow = 0
            self._finish(moment, whole_second=False)

    def result(self) -> dict[str, object]:
        """Return what the coordinator needs of a closed window, as JSON; ``drained`` is of what completed after it: how many, and the slowest."""
        drained = [found for counts in self.counts for found in counts.items()]
        histograms = [latencies.histogram() for latencies in self._latencies]
        return {
            "start": self.start,
            "end": self.end,
            "operations": sum(row[0] for row in self.rows),
            "failed": self.failed,
            "unknown": self.unknown,
            "drained": {"operations": sum(count for _, count in drained), "us_max": max((microseconds for microseconds, _ in drained), default=0)},
            "rows": self.rows,
            "written": sum(int(histogram.get_total_count()) for histogram in histograms[CAUSAL_WRITE:]),
            "latency_us": {name: latencies.total_us() for name, latencies in zip(MEASURED, self._latencies, strict=True)},
            "latencies": {name: encode(histogram) for name, histogram in zip(MEASURED, histograms, strict=True)},
            "cpu_seconds": self._cpu_seconds,
            "rss_bytes": process_statistics().rss_bytes,
        }

    def _next_boundary(self) -> float:
        return min(self.start + (self._step + 1) / STEPS_PER_SECOND, self.end)

    def _open(self) -> None:
        self.is_open = True
        self.failed = self.unknown = 0
        self._latencies = [Latencies() for _ in MEASURED]
        self._cpu_seconds = time.process_time()
        self._on_open()

    def _finish(self, moment: float, *, whole_second: bool) -> None:
        """Freeze everything; completions that follow are the drain's."""
        self._cpu_seconds = time.process_time() - self._cpu_seconds
        self.is_closed, self.end, self.boundary = True, moment, math.inf
        self._fold((self._step + 1) // STEPS_PER_SECOND if whole_second else None)
        self._on_close()

    def _fold(self, second: int | None) -> None:
        """Move the counts into the window's latencies, and tell of the second that has ended, if one has."""
        coarse: list[int] = []
        for counts, latencies in zip(self.counts, self._latencies, strict=True):
            places = latencies.fold(counts).tolist()
            coarse = [a + b for a, b in zip(coarse, places, strict=True)] if coarse else places
        self.counts = [{} for _ in MEASURED]
        if second is not None:
            self.seconds.append(Second(second, self._in_second, self.failed, self.unknown, coarse))
        self._in_second = 0


def _nothing() -> None:
    pass
