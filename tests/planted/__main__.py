"""Runs every planted bug's recorded seed, and the scopes that find some, and writes docs/planted.md: ``python -m tests.planted --jobs 2``.

Ends with 1, and writes nothing, if a bug is not found, or if something else is said of it than what is recorded; then it tells which seed to record.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys

from tests.planted.again import say_moved
from tests.planted.table import PAGE, RULES_TABLE, SCOPES, WORLDS, find_in_scope, find_in_world, rules_table, scopes_table, with_table, worlds_table
from tests.scopes.planted import PLANTED
from tests.sim.planted import BUGS


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description="Find every planted bug again and write docs/planted.md.")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    given = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        worlds = pool.map(find_in_world, BUGS, chunksize=1)
        scopes = pool.map(find_in_scope, PLANTED, chunksize=1)
        lost = [each for each in (*worlds, *scopes) if not each.expected]
        for each in lost:
            sys.stderr.write(f"{each.bug}: {each.failure or 'not found'}\n")
        for line in pool.imap(say_moved, [each.bug for each in worlds if not each.expected]):
            sys.stderr.write(f"{line}\n")
    if lost:
        return 1
    page = with_table(PAGE.read_text(), RULES_TABLE, rules_table())
    page = with_table(page, SCOPES, scopes_table(scopes))
    PAGE.write_text(with_table(page, WORLDS, worlds_table(worlds)))
    sys.stdout.write(f"{len(worlds)} bugs found in simulated worlds, {len(scopes)} in small scopes; {PAGE.name} is written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
