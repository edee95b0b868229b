"""``triskele snapshot save``: the state of a running cluster into a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_cluster_argument, add_output_argument, whole

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele snapshot save backup.snapshot                               # the leader's state",
    "triskele snapshot save backup.snapshot --from 2 --cluster ready.json # that of replica 2, which spares the leader",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="where to; one that is there is replaced when the new one is whole")
    parser.add_argument(
        "--from", dest="source", metavar="ID", type=whole(0, 65_535), default=None, help="which replica's state (default: the leader's)"
    )
    add_cluster_argument(parser)
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    import trio

    from replica.cluster_file import parse_cluster
    from triskele.saved_snapshot import save_snapshot

    source, content = trio.run(save_snapshot, parse_cluster(arguments.cluster), arguments.file, arguments.source)
    told = content.summary()
    if arguments.output == "json":
        print(json.dumps({"file": str(arguments.file), "from": source, **told}, indent=1))
    else:
        print(f"{arguments.file}: {told['keys']} keys of replica {source} at position {told['position']}, state hash {told['state_hash']}")
    return 0
