"""The live keys in order, for scans, without making each write pay.

A log-structured list (O'Neil et al., "The log-structured merge-tree", 1996, in memory and of keys only): a key that comes to life is
appended to a small unsorted list; a full one is sorted into a *run*; runs of like size are merged two at a time, up to ``RUN_MAX`` keys. A
scan bisects every run and merges what it needs. So a write to a living key costs nothing, a new key its share of the sorting, and no step
is longer than the merge of one run (some ms), however many keys there are.

A key that dies stays in its run and is noted as dead; scans leave it out, and runs are purged one at a time once there are many.

Runs are tuples: the garbage collector looks at a tuple of bytes once and never again, while a million keys in lists would make each full
collection touch them all.

Rejected: a list of small sorted blocks (a batch of random keys touches every block), a tree of objects (ten times the memory), and
sorting at the first scan (a second of silence with a million keys).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import filterfalse, pairwise
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class Order:
    """The set of live keys, in order; see the module.

    Invariant: every live key is in exactly one of the runs or in the fresh list; every other key found there is in ``_dead``.
    """

    FRESH_MAX: ClassVar[int] = 2048
    RUN_MAX: ClassVar[int] = 32_768
    DEAD_MAX: ClassVar[int] = 16_384
    """Dead keys that a scan may have to step over (some ms) before upkeep purges runs."""
    STEP_MIN: ClassVar[int] = 8
    STEP_MAX: ClassVar[int] = 4096
    """Keys that a scan takes from each run at a time."""

    __slots__ = ("_dead", "_fresh", "_runs", "_unsettled")

    def __init__(self) -> None:
        """Begin empty."""
        self._fresh: list[bytes] = []
        self._runs: list[tuple[bytes, ...]] = []  # the one purged last comes last
        self._dead: set[bytes] = set()  # asked for membership only: its own order differs from process to process
        self._unsettled = False  # two runs may be worth merging

    def add(self, keys: Sequence[bytes]) -> None:
        """Take in keys that came to life, each once."""
        if self._dead:
            back = self._dead.intersection(keys)
            if back:
                self._dead -= back
                keys = list(filterfalse(back.__contains__, keys))
        self._fresh += keys
        if len(self._fresh) >= self.FRESH_MAX:
            self._place(sorted(self._living(self._fresh)))
            self._fresh = []

    def remove(self, key: bytes) -> None:
        """Note that a live key died."""
        self._dead.add(key)

    def settle(self) -> None:
        """Do one step of upkeep if any is due: merge two runs, or purge one. To be called after each batch that changed keys."""
        if self._unsettled:
            self._unsettled = self._merge()
        elif len(self._dead) > self.DEAD_MAX and self._runs:
            self._place(self._living(self._runs.pop(0)))

    def page(self, start: bytes, end: bytes | None, count: int) -> list[bytes]:
        """Tell the first live keys in ``[start, end)``, ascending: ``count`` of them if there are so many, perhaps more.

        Takes a step of keys from each run; what lies up to the least of the steps' last keys is then complete and can be sorted together.
        """
        self._fresh.sort()  # all but what came since the last scan is in order already
        spans = []  # [run, first place, end place]
        for run in (*self._runs, self._fresh):
            low = bisect_left(run, start)
            high = len(run) if end is None else bisect_left(run, end, low)
            if low < high:
                spans.append((run, low, high))
        found: list[bytes] = []
        # A fair share of each run and a half, and something for chance: then one round is enough if the keys came in no special order.
        step = min(3 * count // (2 * len(spans) + 1) + self.STEP_MIN, self.STEP_MAX)
        while spans and len(found) < count:
            bound = min((run[low + step - 1] for run, low, high in spans if low + step < high), default=None)
            candidates: list[bytes] = []
            rest = []
            for run, low, high in spans:
                reach = min(low + step, high) if bound is None else bisect_right(run, bound, low, min(low + step, high))
                candidates += filterfalse(self._dead.__contains__, run[low:reach]) if self._dead else run[low:reach]
                if reach < high:
                    rest.append((run, reach, high))
            candidates.sort()
            found += candidates
            spans = rest
            step = min(2 * step, self.STEP_MAX)
        return found

    def clone(self) -> Order:
        """Copy; the runs are shared."""
        other = object.__new__(Order)
        other._fresh = self._fresh.copy()
        other._runs = self._runs.copy()
        other._dead = self._dead.copy()
        other._unsettled = self._unsettled
        return other

    def _place(self, run: Sequence[bytes]) -> None:
        """Put a run behind the others."""
        if run:
            self._runs.append(tuple(run))
            self._unsettled = True

    def _living(self, keys: Sequence[bytes]) -> Sequence[bytes]:
        """Leave out the dead; they are then no longer anywhere."""
        gone = self._dead.intersection(keys) if self._dead else None
        if not gone:
            return keys
        self._dead -= gone
        return tuple(filterfalse(gone.__contains__, keys))

    def _merge(self) -> bool:
        """Merge the two shortest runs of like size, if there are any. Returns whether it did: there may be more to do."""
        for shorter, longer in pairwise(sorted(self._runs, key=len)):
            if len(longer) < 2 * len(shorter) and len(longer) + len(shorter) <= self.RUN_MAX:
                self._runs = [run for run in self._runs if run is not shorter and run is not longer]
                self._place(sorted(longer + shorter))  # two ascending runs: one merge
                return True
        return False
