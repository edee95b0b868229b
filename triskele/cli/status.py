"""``triskele status``: what each replica says of itself; status 1 if one cannot be asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from triskele.cli.arguments import TIMEOUT_SECONDS, add_cluster_argument, add_output_argument, seconds

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele status                                 # the cluster of triskele up on this machine",
    "triskele status --cluster ready.json -o json    # by a ready file, for programs",
)

NOBODY_LEADS = ("leader", -1)
COLUMNS = ("id", "role", "view", "leader", "commit", "applied", "config_id", "mode", "state_hash", "home_sessions", "turn_seconds_max")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    add_cluster_argument(parser)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds(), default=TIMEOUT_SECONDS, help=f"for each replica (default {TIMEOUT_SECONDS:g})"
    )
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    import trio

    from replica.cluster_file import parse_cluster
    from triskele.cluster_status import gather_status
    from triskele.present_members import present_members

    async def ask() -> list[dict[str, Any]]:
        present = await present_members(parse_cluster(arguments.cluster), arguments.timeout)
        return await gather_status(present.everybody, arguments.timeout)

    rows = trio.run(ask)
    if arguments.output == "json":
        print(json.dumps(rows, indent=1))
    else:
        print(_table(rows))
    return 1 if any("error" in row for row in rows) else 0


def _table(rows: list[dict[str, Any]]) -> str:
    """Lay the rows out; what a replica does not tell is a dash, one that cannot be asked has its reason in words."""
    cells = [[column.replace("_", " ") for column in COLUMNS]]
    cells += [["-" if (column, row.get(column)) == NOBODY_LEADS else _cell(row.get(column)) for column in COLUMNS] for row in rows]
    widths = [max(len(line[place]) for line in cells) for place in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    for number, row in enumerate(rows, 1):
        if "error" in row:
            lines[number] = f"{_cell(row['id']):<{widths[0]}}  {row['error']}"
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6f}" if isinstance(value, float) else str(value)
