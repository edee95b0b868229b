"""``triskele compare``: two results side by side, with the ratio of each figure and how sure it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_output_argument
from triskele.cli.framework import complain
from triskele.cli.load import needing_extra

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele compare before.json after.json                      # two results of triskele load, or two sweeps' report.json",
    "triskele compare experiments/depth other/depth -o json       # two sweeps' folders, or two folders of results",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    for name in ("A", "B"):
        parser.add_argument(name, type=Path, help="a result of triskele load, a sweep's report.json or folder, or a folder of results")
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    with needing_extra():
        from loadgen.comparison import compare, rows_of
        from loadgen.measured import read_side
        from loadgen.printable import printable
    from triskele.profile.document import Table, plain

    comparison = compare(read_side(arguments.A), read_side(arguments.B))
    if arguments.output == "json":
        print(json.dumps(comparison, indent=1))
        return 0
    if comparison["warning"]:
        complain(printable(f"compare: {comparison['warning']}"))
    table = plain([Table(*rows_of(comparison), words=2)])
    print(printable(f"A: {comparison['a']}\nB: {comparison['b']}\n\n{table}", keep="\n"))
    if comparison["method"]:
        print(f"B/A: ratio of the medians, 95 % by {comparison['method']}; * where that excludes 1")
    else:
        print("B/A: ratio of the medians; too few runs, and too few seconds, for an interval")
    for side, names in comparison["unmatched"].items():
        if names:
            print(printable(f"only in {side.upper()}: {'; '.join(names)}"))
    return 0
