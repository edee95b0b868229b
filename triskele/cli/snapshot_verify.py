"""``triskele snapshot verify``: checks a snapshot file, all of it, and says what it holds; status 1 if it is damaged, 2 if it cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_output_argument

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele snapshot verify backup.snapshot            # could it be restored?",
    "triskele snapshot verify backup.snapshot -o json    # for programs",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="what `triskele snapshot save` wrote, or a snapshot of a data folder")
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    from replica.snapshot_file import read_snapshot

    told = read_snapshot(arguments.file).summary()
    if arguments.output == "json":
        print(json.dumps({"file": str(arguments.file), **told}, indent=1))
    else:
        print(f"{arguments.file}: sound")
        for name, value in told.items():
            print(f"  {name.replace('_', ' '):<13} {value}")
    return 0
