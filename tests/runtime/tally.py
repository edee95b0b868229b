"""What many runs showed together: how often each fault struck, what was broken, and whether that says anything."""

from __future__ import annotations

from collections import Counter
from itertools import cycle, islice
from time import monotonic
from typing import TYPE_CHECKING

import attrs

from tests.runtime.catalogue import CATALOGUE, GROUPS, group_of

if TYPE_CHECKING:
    from tests.runtime.run import Report

EACH_SHARE = 0.01
"""Of all faults, each kind's least."""
TELL_EVERY = 500
"""Faults between two lines."""
TRIES_MAX = 4
"""For each strike that is wanted: a kind that was tried more often than this cannot be had."""
BROKEN_MAX = 10
"""Runs with a broken promise after which nothing more is to be learned."""


@attrs.define
class Tally:
    """Counts.

    Attributes:
        faults: how many are wanted.
        names: of which kinds.
        broken: what repeats each run that broke a promise.
    """

    faults: int
    names: tuple[str, ...] = tuple(CATALOGUE)
    began: float = attrs.Factory(monotonic)
    runs: int = 0
    completed: int = 0
    tried: Counter[str] = attrs.Factory(Counter)
    struck: Counter[str] = attrs.Factory(Counter)
    passed: Counter[str] = attrs.Factory(Counter)
    broken: list[str] = attrs.Factory(list)

    def add(self, report: Report, repeat: str) -> None:
        """Add a run; tell a line now and then, and what it broke."""
        lines = self.struck.total() // TELL_EVERY
        self.runs += 1
        self.completed += report.completed
        self.tried.update(report.tried)
        self.struck.update(report.struck)
        self.passed.update(dict(report.reached))
        if report.failure:
            print(*report.story, report.failure, sep="\n")
            print(f"seed {report.seed} ({report.durability}) failed after: {', '.join(report.struck)}\nrepeat it: {repeat}", flush=True)
            self.broken.append(repeat)
        if self.struck.total() // TELL_EVERY > lines:
            print(self, flush=True)

    @property
    def share(self) -> int:
        """How often each kind has to strike."""
        return max(1, int(self.faults * EACH_SHARE))

    @property
    def lagging(self) -> list[str]:
        """Kinds that have not struck often enough."""
        return [name for name in self.names if self.struck[name] < self.share]

    @property
    def is_over(self) -> bool:
        """Whether enough has struck, or more is of no use."""
        enough = self.struck.total() >= self.faults
        hopeless = any(self.tried[name] > TRIES_MAX * self.share + 20 for name in self.lagging)
        return len(self.broken) >= BROKEN_MAX or (enough and (not self.lagging or hopeless))

    def next_names(self, seed: int, count: int) -> list[str] | None:
        """Say what a seed is to try: None for whatever it does by itself; in the end, what lags behind."""
        among = list(self.names) if len(self.names) < len(CATALOGUE) else []
        if self.struck.total() >= self.faults:
            among = self.lagging
        return list(islice(cycle(among), seed % len(among), seed % len(among) + count)) if among else None

    def tell(self) -> None:
        """Print how often each fault struck, and how often its point was passed; then the groups, and everything in one line."""
        print(f"\n{'fault':34} {'tried':>7} {'struck':>7} {'passed':>12}")
        for name in self.names:
            passed = self.passed.get(name.rpartition(" at ")[2])
            print(f"{name:34} {self.tried[name]:7,} {self.struck[name]:7,} {'' if passed is None else format(passed, ','):>12}")
        print()
        for group in GROUPS:
            names = [name for name in self.names if group_of(name) == group]
            if names:
                least = min(names, key=self.struck.__getitem__)
                print(
                    f"{group:36} {len(names):3} kinds {sum(map(self.struck.__getitem__, names)):7,} strikes, least {self.struck[least]:5,} ({least})"
                )
        print(f"\n{self}", flush=True)

    def verdict(self) -> str:
        """Say in a line what was broken or is missing; empty: every promise held, and could have been broken."""
        if self.broken:
            return f"BROKEN in {len(self.broken)} runs:\n" + "\n".join(self.broken)
        if self.lagging or self.struck.total() < self.faults:
            few = ", ".join(f"{name} {self.struck[name]}" for name in self.lagging)
            return f"VACUOUS: {self.struck.total():,} of {self.faults:,} faults struck" + (f"; fewer than {self.share} times: {few}" if few else "")
        return ""

    def __str__(self) -> str:
        seconds, total = monotonic() - self.began, self.struck.total()
        speed = f"{seconds:.0f} s ({total / max(seconds, 0.001):.1f} faults/s)"
        broken = f", {len(self.broken)} runs broke a promise" if self.broken else ""
        return f"{total:,} faults in {self.runs:,} runs, {self.completed:,} commands, {speed}{broken}"
