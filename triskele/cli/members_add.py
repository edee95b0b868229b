"""``triskele members add``: a new replica, first as a learner; it votes when it runs and has caught up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_cluster_argument, add_output_argument, seconds, whole
from triskele.cli.members_list import show

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele members add 3 127.0.0.1:7403              # then: triskele replica --id 3 --cluster FILE --join",
    "triskele members add 3 127.0.0.1:7403 --wait 60    # return when it votes",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    add_newcomer_arguments(parser, "ID")


def add_newcomer_arguments(parser: ArgumentParser, name: str) -> None:
    """Declare what is to be said of a new replica; ``name``: what its id is called."""
    parser.add_argument("id", metavar=name, type=whole(0, 65_535), help="an id that was never used")
    parser.add_argument("address", metavar="ADDRESS", help="where it will listen, HOST:PORT")
    parser.add_argument("--wait", metavar="SECONDS", type=seconds(), default=None, help="wait so long until it votes (default: do not wait)")
    add_cluster_argument(parser)
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    return add(arguments)


def add(arguments: Namespace, replaces: int | None = None) -> int:
    """Add the new replica, in place of another one if that is given, and say what to do next."""
    import trio

    from replica.cluster_file import parse_cluster
    from triskele.membership import add_member, wait_for_voter

    cluster = parse_cluster(arguments.cluster)
    told = trio.run(partial(add_member, cluster, arguments.id, arguments.address, replaces))
    if arguments.wait is not None:
        told = trio.run(wait_for_voter, cluster, arguments.id, arguments.wait)
    show(told, arguments.output)
    if arguments.output != "json" and arguments.wait is None:
        print(f"start it: triskele replica --id {arguments.id} --cluster FILE --join --listen {arguments.address}")
    return 0
