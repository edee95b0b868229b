from __future__ import annotations

import argparse
import multiprocessing
import sys
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from replica.core.config import MODES
from tests.sim.options import draw
from tests.sim.run import run, run_seed

if TYPE_CHECKING:
    from replica.core.config import Mode
    from tests.sim.run import Report

STORY_LINES = 40


def tell_failure(report: Report) -> None:
    """Print what a failed run leaves."""
    print(f"\n\nFAILED  {report.command_line}\n  {report.failure}")
    for line in report.story[-STORY_LINES:]:
        print("  |", line)


def sweep(seeds: range, jobs: int, mode: Mode | None, replicas: int | None, planted: str | None) -> int:
    """Run many seeds with a live line; return the exit status."""
    began = monotonic()
    work = partial(run_seed, mode=mode, replicas=replicas, planted=planted)
    failed, vacuous, done, completed, fast, slow, faults = [], 0, 0, 0, 0, 0, 0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for report in pool.imap_unordered(work, seeds) if jobs > 1 else map(work, seeds):
            done += 1
            completed, fast, slow, faults = completed + report.completed, fast + report.fast, slow + report.slow, faults + report.faults
            vacuous += bool(report.vacuous)
            if not report.passed:
                failed.append(report.command_line)
                tell_failure(report)
            share = fast / max(1, fast + slow)
            print(
                f"\r{done}/{len(seeds)} seeds, {len(failed)} failed, {vacuous} vacuous, {completed} commands, {share:.0%} of strong ones fast, "
                f"{faults} faults, {monotonic() - began:.0f} s ", end="", flush=True,
            )  # fmt: skip
    print()
    for line in failed:
        print("replay:", line)
    return 1 if failed else 0


def main() -> int:
    """Run the simulator from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Simulate replicas and clients by seed.")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds (default 100)")
    parser.add_argument("--first", type=int, default=1, help="first seed (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--mode", choices=MODES, help="default: all modes in turn")
    parser.add_argument("--replicas", type=int, choices=(3, 5), help="default: both in turn")
    parser.add_argument("--seed", type=int, help="run this one with a trace")
    parser.add_argument("--quiet", action="store_true", help="with --seed: no trace")
    parser.add_argument("--planted", help="plant this bug (see tests/sim/planted.py)")
    given = parser.parse_args()
    if given.seed is None:
        return sweep(range(given.first, given.first + given.seeds), given.jobs, given.mode, given.replicas, given.planted)
    options = draw(given.seed, given.mode, given.replicas)
    print(options)
    report = run(options, None if given.quiet else print) if not given.planted else run_seed(given.seed, given.mode, given.replicas, given.planted)
    if not report.passed:
        tell_failure(report)
    print(f"{report.completed} completed, {report.fast} fast, {report.slow} slow, {report.conflicts} conflicts, {dict(report.struck)}")
    print(f"{report.events} events in {report.virtual_seconds:.3f} virtual seconds, digest {report.digest:08x}, vacuous: {report.vacuous or 'no'}")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
