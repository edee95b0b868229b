from __future__ import annotations

import argparse
import multiprocessing
import sys
from contextlib import nullcontext
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from replica.core.config import MODES
from tests.sim.cut import Cut
from tests.sim.planted import plant
from tests.sim.run import Report, draw_world, run, run_seed
from tests.sim.scenario import scenario, summary
from tests.sim.shrink import Shrinking, property_of, record
from tests.sim.storms import STORMS
from tests.sim.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.config import Mode

STORY_LINES = 40
SHRUNK_MAX = 3
"""Failed seeds of a run that are shrunk: one of each property, so many at most."""


def tell_failure(report: Report) -> None:
    """Print what a failed run leaves."""
    print(f"\n\nFAILED  {report.command_line}\n  {report.failure}")
    for line in report.story[-STORY_LINES:]:
        print("  |", line)


def tell_shrunk(report: Report, planted: str | None, seconds: float) -> None:
    """Shrink a failed run and print the scenario that is left."""
    print(f"\nshrinking {report.command_line}, up to {seconds:.0f} s", flush=True)
    with plant(planted) if planted else nullcontext():
        shrinking = Shrinking(draw_world(report.seed, report.mode, report.replicas), seconds)
        shrinking.search()
        print(f"  {summary(shrinking)}")
        for line in scenario(shrinking.left):
            print("  |", line)
    print(f"replay: {report.command_line} --shrunk {' '.join(shrinking.cut.words())}")


def vacuity(tally: Tally, planted: str | None) -> str:
    """Say why a run of seeds proves little; empty when it proves something, or has a bug planted, which may stop anything."""
    if planted in STORMS:
        return tally.vacuous_storm
    return "" if planted else tally.vacuous


def sweep(seeds: range, jobs: int, mode: Mode | None, replicas: int | None, planted: str | None, shrink_seconds: float) -> int:
    """Run many seeds with a live line; return the exit status."""
    began = monotonic()
    work = partial(run_seed, mode=mode, replicas=replicas, planted=planted)
    tally = Tally(len(seeds))
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for report in pool.imap_unordered(work, seeds) if jobs > 1 else map(work, seeds):
            tally.add(report)
            if not report.passed:
                tell_failure(report)
            print(f"\r{tally.line()}, {monotonic() - began:.0f} s ", end="", flush=True)
    print()
    kinds = {property_of(report.failure): report for report in reversed(tally.failed)}
    for report in list(kinds.values())[:SHRUNK_MAX] if shrink_seconds else ():
        tell_shrunk(report, planted, shrink_seconds)
    for report in tally.failed:
        print("replay:", report.command_line)
    vacuous = vacuity(tally, planted)
    if vacuous:
        print("VACUOUS:", vacuous)
    return 1 if tally.failed or vacuous else 0


def one(given: argparse.Namespace) -> int:
    """Run one seed, whole or what is left of it; return the exit status."""
    with plant(given.planted) if given.planted else nullcontext():
        options = draw_world(given.seed, given.mode, given.replicas)
        print(options)
        if given.shrunk is not None:
            lines = scenario(Cut.parse(given.shrunk).apply(record(options)[0]))
            print("\n".join(lines))
            return 0 if lines[-1] == "nothing failed" else 1
        report = run(options, None if given.quiet else print, given.planted)
    if not report.passed:
        tell_failure(report)
    print(f"{report.completed} completed, {report.fast} fast, {report.slow} slow, {report.conflicts} conflicts, {dict(report.struck)}")
    print(f"{report.events} events in {report.virtual_seconds:.3f} virtual seconds, digest {report.digest:08x}, vacuous: {report.vacuous or 'no'}")
    if not report.passed and given.shrink_seconds:
        tell_shrunk(report, given.planted, given.shrink_seconds)
    return 0 if report.passed else 1


def plantable(name: str) -> str:
    """Return the name of a storm or a planted bug; any other would plant nothing, and look like a bug that is not found."""
    try:
        with plant(name):
            return name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Simulate replicas and clients by seed.")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds (default 100)")
    parser.add_argument("--first", type=int, default=1, help="first seed (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--mode", choices=MODES, help="default: all modes in turn")
    parser.add_argument("--replicas", type=int, choices=range(1, 10), metavar="1..9", help="default: 3 and 5 in turn")
    parser.add_argument("--seed", type=int, help="run this one with a trace")
    parser.add_argument("--quiet", action="store_true", help="with --seed: no trace")
    planted = "plant this bug (see tests/sim/planted.py), or make every world one of these (tests/sim/storms.py)"
    parser.add_argument("--planted", type=plantable, metavar="NAME", help=planted)
    parser.add_argument("--shrink-seconds", type=float, default=60.0, help="how long a failed seed may be taken apart; 0: not at all (default 60)")
    parser.add_argument("--shrunk", nargs="*", metavar="WHAT=LEFT", help="with --seed: what is left of it, as a shrunk run's replay line tells")
    given = parser.parse_args(arguments)
    if given.seed is None:
        seeds = range(given.first, given.first + given.seeds)
        return sweep(seeds, given.jobs, given.mode, given.replicas, given.planted, given.shrink_seconds)
    return one(given)


if __name__ == "__main__":
    sys.exit(main())
