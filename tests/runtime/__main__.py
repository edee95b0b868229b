"""Strike clusters in nurseries until enough faults have struck: ``python -m tests.runtime --faults 10000``; one run alone: ``--seed 7``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from time import monotonic
from typing import TYPE_CHECKING

import attrs

from tests.runtime.catalogue import CATALOGUE
from tests.runtime.run import Report, run

if TYPE_CHECKING:
    from collections.abc import Iterator

EACH_SHARE = 0.01
"""Of all faults, each kind's least."""
TELL_EVERY = 500
"""Faults between two lines."""
RUNS_AHEAD = 4
"""Runs under way for each process."""


def reports(first: int, jobs: int) -> Iterator[Report]:
    """Give the reports of seeds from ``first`` on, as they come."""
    if jobs == 1:
        seed = first
        while True:
            yield run(seed)
            seed += 1
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(run, seed) for seed in range(first, first + RUNS_AHEAD * jobs)}
        seed = first + RUNS_AHEAD * jobs
        try:
            while True:
                done = next(as_completed(waiting))
                waiting.remove(done)
                waiting.add(pool.submit(run, seed))
                seed += 1
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def tell_failure(report: Report) -> None:
    """Print what a run showed, and how to repeat it."""
    print(*report.story, sep="\n")
    print(report.failure)
    print(f"seed {report.seed} ({report.durability}) failed after: {', '.join(report.struck)}")
    print(f"repeat it: python -m tests.runtime --seed {report.seed}")


@attrs.define
class Tally:
    """What all runs showed together."""

    began: float = attrs.Factory(monotonic)
    runs: int = 0
    completed: int = 0
    struck: Counter[str] = attrs.Factory(Counter)
    passed: Counter[str] = attrs.Factory(Counter)

    def add(self, report: Report) -> None:
        """Add a run; tell a line now and then."""
        lines = self.struck.total() // TELL_EVERY
        self.runs += 1
        self.completed += report.completed
        self.struck.update(report.struck)
        self.passed.update(dict(report.reached))
        if self.struck.total() // TELL_EVERY > lines:
            print(self, flush=True)

    def suffices(self, faults: int) -> bool:
        """Whether so many faults have struck, and each often enough."""
        return self.struck.total() >= faults and all(self.struck[name] >= int(faults * EACH_SHARE) for name in CATALOGUE)

    def tell(self) -> None:
        """Print how often each fault struck, and how often its point was passed."""
        print(f"\n{'fault':32} {'struck':>8} {'passed':>10}")
        for name in CATALOGUE:
            passed = self.passed.get(name.removeprefix("raise at "))
            print(f"{name:32} {self.struck[name]:8,} {'' if passed is None else format(passed, ','):>10}")
        print(f"\n{self}", flush=True)

    def __str__(self) -> str:
        return f"{self.struck.total():,} faults in {self.runs:,} runs, {self.completed:,} commands, {monotonic() - self.began:.0f} s"


def main() -> int:
    """Run; exit status 1 if a promise was broken, or if it was interrupted."""
    parser = ArgumentParser(prog="python -m tests.runtime", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="how many must strike, each kind at least a hundredth of it (default 1000)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--seed", type=int, default=None, help="run this seed alone")
    arguments = parser.parse_args()
    tally = Tally()
    try:
        for report in [run(arguments.seed)] if arguments.seed is not None else reports(arguments.first, arguments.jobs):
            tally.add(report)
            if report.failure:
                tell_failure(report)
                return 1
            if tally.suffices(arguments.faults):
                break
    except KeyboardInterrupt:
        tally.tell()
        return 1
    tally.tell()
    print("every promise held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
