"""``triskele transfer-leader``: lets another replica lead, and says which one does."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_cluster_argument, add_output_argument, whole

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele transfer-leader                               # to the follower that is furthest",
    "triskele transfer-leader --to 2 --cluster ready.json   # to replica 2",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("--to", metavar="ID", type=whole(0, 65_535), default=None, help="who shall lead (default: the follower that is furthest)")
    add_cluster_argument(parser)
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    import trio

    from replica.cluster_file import parse_cluster
    from triskele.leadership import transfer_leader

    done = trio.run(partial(transfer_leader, parse_cluster(arguments.cluster), arguments.to))
    if arguments.output == "json":
        print(json.dumps({"from": done.source, "to": done.target, "view": done.view}))
    else:
        print(f"replica {done.target} leads view {done.view}; replica {done.source} did")
    return 0
