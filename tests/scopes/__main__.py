from __future__ import annotations

import argparse
import multiprocessing
import sys
from functools import partial
from typing import TYPE_CHECKING

from tests.scopes.scopes import QUICK, SCOPES, explore

if TYPE_CHECKING:
    from tests.scopes.search import Found

STATES_MAX = 4_000_000


HEAD = """\
| scope | states | transitions | ends | outcomes | depth | CPU seconds | complete | what is left out |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |"""


def line(found: Found) -> str:
    """Make one row of the table in docs/testing.md."""
    how = "yes" if found.complete else ("BROKEN" if found.failure else "cut off")
    numbers = [f"{number:,}" for number in (found.states, found.transitions, found.ends, found.outcomes, found.depth)]
    return f"| `{found.scope}` | {' | '.join(numbers)} | {found.seconds:.1f} | {how} | {found.shrunk} |"


def main() -> int:
    """Explore scopes from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.scopes", description="Explore small scopes of the real core to their end.")
    parser.add_argument("names", nargs="*", metavar="SCOPE", help=f"which (default: {' '.join(QUICK)}); known are {' '.join(SCOPES)}")
    parser.add_argument("--all", action="store_true", help="all of them, for long")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--states-max", type=int, default=STATES_MAX, help=f"give a scope up beyond so many states (default {STATES_MAX:,})")
    given = parser.parse_args()
    names = list(SCOPES) if given.all else given.names or list(QUICK)
    unknown = [name for name in names if name not in SCOPES]
    if unknown:
        parser.error(f"no such scope: {', '.join(unknown)}; known are {', '.join(SCOPES)}")
    failed = 0
    print(HEAD, flush=True)
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for found in pool.imap(partial(explore, states_max=given.states_max), names):
            print(line(found), flush=True)
            failed += not found.complete
            if found.failure:
                print(f"  {found.failure}")
                for action in found.path:
                    print("  |", *action)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
