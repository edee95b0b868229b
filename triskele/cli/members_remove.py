"""``triskele members remove``: a replica leaves the cluster for ever."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_cluster_argument, add_output_argument, whole
from triskele.cli.members_list import show

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele members remove 2                         # its id is never used again",
    "triskele members remove 3 --cluster ready.json    # also one that never came",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("id", metavar="ID", type=whole(0, 65_535), help="a voter or learner")
    add_cluster_argument(parser)
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    import trio

    from replica.cluster_file import parse_cluster
    from triskele.membership import remove_member

    cluster = parse_cluster(arguments.cluster)
    show(trio.run(partial(remove_member, cluster, arguments.id)), arguments.output)
    return 0
