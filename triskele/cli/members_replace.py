"""``triskele members replace``: a new replica takes the place of a lost one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triskele.cli.arguments import whole
from triskele.cli.members_add import add, add_newcomer_arguments

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele members replace 2 3 127.0.0.1:7403              # prints the command that starts replica 3",
    "triskele members replace 2 3 127.0.0.1:7403 --wait 60    # return when it votes and replica 2 has left",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("old", metavar="OLD", type=whole(0, 65_535), help="the voter that leaves")
    add_newcomer_arguments(parser, "NEW")


def run(arguments: Namespace) -> int:
    """Run the command."""
    return add(arguments, arguments.old)
