"""What a user sees while the load runs: one line that is rewritten on a terminal, one line a second elsewhere."""

from __future__ import annotations

import sys
from typing import IO, Any

import attrs

from loadgen.latency import percentile_ms
from loadgen.live_line import LiveLine


@attrs.define
class _Total:
    """One second, all processes together."""

    reports: int = 0
    operations: int = 0
    failures: int = 0
    coarse: list[int] = attrs.Factory(list)


class Progress:
    """Adds up what the client processes tell and writes it.

    Args:
        processes: how many report each second.
        seconds: planned length of the window, 0 if operations end it.
        operations: planned operations of the window, 0 if time ends it.
        stream: where to write; None: nowhere.
    """

    def __init__(self, processes: int, seconds: float, operations: int, stream: IO[str] | None = sys.stderr) -> None:
        self._processes = processes
        self._seconds = seconds
        self._operations = operations
        self._line = LiveLine(stream)
        self._totals: dict[float, _Total] = {}  # {second: what was told of it so far}
        self._done = 0

    def say(self, line: str) -> None:
        """Write a line of its own."""
        self._line.say(line)

    def second(self, told: dict[str, Any]) -> None:
        """Take one process's second; the line is written when all have told it."""
        total = self._totals.setdefault(told["second"], _Total())
        total.reports += 1
        total.operations += told["operations"]
        total.failures += told["failed"] + told["unknown"]
        total.coarse = [a + b for a, b in zip(total.coarse, told["coarse"], strict=True)] if total.coarse else told["coarse"]
        if total.reports == self._processes:
            del self._totals[told["second"]]
            self._write(told["second"], total)

    def end(self) -> None:
        """Leave the live line."""
        self._line.end()

    def _write(self, second: float, total: _Total) -> None:
        if second > 0:
            self._done += total.operations
        self._line.show(self.line(second, total))

    def line(self, second: float, total: _Total) -> str:
        """Return a second's line."""
        figures = [percentile_ms(total.coarse, percentile) for percentile in (50, 99)]
        p50, p99 = ("-" if figure is None else f"{figure:.2f} ms" for figure in figures)
        where = f"{second:5.0f} s" if second > 0 else "warm-up"
        return f"{where}  {total.operations:>9,} /s  p50 {p50}  p99 {p99}  errors {total.failures}{self._left(second, total.operations)}"

    def _left(self, second: float, rate: int) -> str:
        """Say how long it will still take."""
        if second <= 0:
            return ""
        if self._seconds:
            return f"  {max(0.0, self._seconds - second):.0f} s left"
        if not self._operations or not rate:
            return ""
        return f"  {max(0, self._operations - self._done) / rate:.0f} s left"
