"""Strike clusters in nurseries until enough faults have struck, and each kind often enough.

``python -m tests.runtime --faults 10000``; one run alone: ``--seed 7``; some kinds only: ``--only "kill,raise at turn.end"``.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING

from tests.runtime.catalogue import CATALOGUE, names_for
from tests.runtime.run import FAULTS, run
from tests.runtime.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from tests.runtime.run import Report

RUNS_AHEAD = 4
"""Runs under way for each process."""


def reports(tally: Tally, first: int, jobs: int) -> Iterator[Report]:
    """Give the reports of seeds from ``first`` on, as they come."""
    seed = first
    if jobs == 1:
        while True:
            yield run(seed, tally.next_names(seed, FAULTS))
            seed += 1
    with ProcessPoolExecutor(jobs) as pool:
        waiting: set[Future[Report]] = set()
        try:
            while True:
                while len(waiting) < RUNS_AHEAD * jobs:
                    waiting.add(pool.submit(run, seed, tally.next_names(seed, FAULTS)))
                    seed += 1
                done = next(as_completed(waiting))
                waiting.remove(done)
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def repeating(report: Report) -> str:
    """Return the command that repeats a run."""
    only = "" if list(report.tried) == names_for(report.seed, FAULTS) else f" --only {','.join(report.tried)!r}"
    return f"python -m tests.runtime --seed {report.seed}{only}"


def chosen(text: str) -> list[str] | None:
    """Return the names in a list that a user gave; None for an empty one.

    Raises:
        SystemExit: there is no such name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in CATALOGUE:
            raise SystemExit(f"there is no fault {name!r}; there are: {', '.join(CATALOGUE)}")
    return names or None


def main(arguments: list[str] | None = None) -> int:
    """Run; exit status 1 if a promise was broken, if too little struck to say so, or if it was interrupted."""
    parser = ArgumentParser(prog="python -m tests.runtime", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="how many must strike, each kind at least a hundredth of it (default 1000)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--seed", type=int, default=None, help="run this seed alone")
    parser.add_argument("--only", default="", help="names of faults with commas between them; of one seed: in this order")
    given = parser.parse_args(arguments)
    names = chosen(given.only)
    if given.seed is not None:
        report = run(given.seed, names)
        print(*report.story, report.failure or f"seed {given.seed} broke no promise: {', '.join(report.struck)}", sep="\n")
        return bool(report.failure)
    tally = Tally(given.faults, tuple(names or CATALOGUE))
    try:
        for report in reports(tally, given.first, given.jobs):
            tally.add(report, repeating(report))
            if tally.is_over:
                break
    except KeyboardInterrupt:
        pass
    tally.tell()
    print(tally.verdict() or "every promise held")
    return bool(tally.verdict())


if __name__ == "__main__":
    sys.exit(main())
