"""``triskele verify-log``: looks a replica's data folder over; status 1 if it has problems, 2 if it is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_output_argument

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from replica.storage.verify import Report

EXAMPLES = (
    "triskele verify-log data/replica-0            # a stopped replica's folder, or a copy of one",
    "triskele verify-log data/replica-0 -o json    # for programs",
)

TORN = "a write that a crash cut short, or damage to the very last writes, which nothing here can tell from it"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="a replica's data folder; nothing in it is changed")
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    import attrs

    from replica.folder_check import check_folder

    report = check_folder(arguments.folder)
    if arguments.output == "json":
        print(json.dumps({"sound": not report.problems, **attrs.asdict(report)}, indent=1))
    else:
        print("\n".join(_lines(report)))
    return 1 if report.problems else 0


def _lines(report: Report) -> list[str]:
    """Tell a report in lines, the verdict last."""
    lines = []
    if report.identity is not None:
        whose = report.identity
        lines.append(f"replica {whose.replica_id} of cluster {whose.cluster_id}, opened {whose.incarnation} times")
    if report.locked:
        lines.append("locked: its replica runs; a torn tail or a problem below may be no more than work under way")
    for segment in report.segments:
        held = f"{segment.records} records, positions {segment.first} to {segment.last}" if segment.records else "no records"
        lines.append(f"segment   {segment.file}: {held}, {segment.end_bytes} bytes")
    lines += [f"snapshot  {found.file}: up to entry {found.index}, {found.chunks} chunks, {found.content_bytes} bytes" for found in report.snapshots]
    if report.torn_tail is not None:
        file, offset = report.torn_tail
        lines.append(f"torn tail {file}: from byte {offset} on; the next start cuts it: {TORN}")
    lines += [f"leftover  {name}: never finished, the next start removes it" for name in report.unfinished]
    lines += [f"problem   {problem}" for problem in report.problems]
    lines.append(f"{len(report.problems)} problems" if report.problems else "sound")
    return lines
