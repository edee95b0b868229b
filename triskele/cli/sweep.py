"""``triskele sweep``: many runs of the load by one file, and one report of all of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from triskele.cli.arguments import seconds, whole
from triskele.cli.framework import complain
from triskele.cli.load import needing_extra

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele sweep parallelism --output parallelism                   # an experiment of ours; --list names them all",
    "triskele sweep mine.toml --repeats 7 --output mine --resume       # a file of your own; goes on where it was interrupted",
)

_REPEATS_MAX = 1000


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("file", metavar="FILE", nargs="?", default=None, help="the sweep's TOML file, or the name of an experiment of ours")
    parser.add_argument("--list", action="store_true", help="print the names of our experiments; nothing else")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=None, help="folder for runs/, report.html, report.md, report.json and report.csv"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the sweep whose runs are in the folder")
    parser.add_argument("--repeats", metavar="N", type=whole(1, _REPEATS_MAX), default=None, help="runs of each point (default: the file's, or 5)")
    parser.add_argument("--seconds", metavar="S", type=seconds(), default=None, help="measured seconds of each run (default: the file's)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table")


def run(arguments: Namespace) -> int:
    """Run the command: 0 done, 1 if a run failed, 130 after Ctrl-C."""
    from replica.config import SettingError

    with needing_extra():
        from loadgen.sweep.plan import Changes, find_plan, shipped
        from loadgen.sweep.run import sweep
        from loadgen.sweep.tables import BRIEF, table_of

    changes = Changes(repeats=arguments.repeats, seconds=arguments.seconds)
    if arguments.list:
        for name in shipped():
            print(f"{name:<16} {find_plan(name, Changes()).about}")
        return 0
    if arguments.file is None:
        raise SettingError("FILE", "", "missing: name a TOML file or one of our experiments; triskele sweep --list names them")
    if arguments.output is None:
        raise SettingError("--output", "", "missing: name the folder for the runs and reports")
    plan = find_plan(arguments.file, changes)
    report, status = sweep(plan, arguments.output, resume=arguments.resume, stream=None if arguments.quiet else sys.stderr)
    if arguments.quiet:
        for failure in report["failures"]:
            complain(f"sweep: {failure['point']} ({failure['run']}) failed: {failure['why']}")
    else:
        from triskele.profile.document import Table, plain

        print(plain([Table(*table_of(report, BRIEF))]))
        print(f"{'partial ' if report['partial'] else ''}report: {arguments.output / 'report.html'}, report.md, report.json and report.csv; runs/")
    return status
