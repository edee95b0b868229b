"""``triskele members add``: a new replica, first as a learner; it votes when it runs and has caught up."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_cluster_argument, add_output_argument, address_type, seconds, whole
from triskele.cli.members_list import show

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from triskele.present_members import Membership

EXAMPLES = (
    "triskele members add 3 127.0.0.1:7403              # prints the command that starts it",
    "triskele members add 3 127.0.0.1:7403 --wait 60    # return when it votes",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    add_newcomer_arguments(parser, "ID")


def add_newcomer_arguments(parser: ArgumentParser, name: str) -> None:
    """Declare what is to be said of a new replica; ``name``: what its id is called."""
    parser.add_argument("id", metavar=name, type=whole(0, 65_535), help="an id that was never used")
    parser.add_argument("address", metavar="ADDRESS", type=address_type, help="where it will listen, HOST:PORT")
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
        print(f"start it: {starting(arguments.id, arguments.address, arguments.cluster, told)}")
    return 0


def starting(member: int, address: str, cluster: str, told: Membership) -> str:
    """Return the command that starts a new member, with ports for its WebSocket and its admin that no other member told to have.

    Args:
        member: Its id.
        address: Where it will listen.
        cluster: As the user gave it; a list of addresses does not tell a replica whose member it is, so a file is asked for.
        told: What the leader tells of the members.
    """
    from replica.address import PORT_MAX, is_loopback, join_address, readable_address, split_address
    from triskele.cluster_ports import ADMIN_OFFSET, WEBSOCKET_OFFSET

    host, port = split_address(address)
    urls = [row.get(kind, "") for row in told["members"] for kind in ("address", "websocket", "admin")]
    taken = {port} | {split_address(url)[1] for url in urls if readable_address(url)}
    local = is_loopback(host)
    flags = "" if local else " --insecure"
    for name, offset in (("websocket", WEBSOCKET_OFFSET), ("admin", ADMIN_OFFSET)):
        wanted = range(port + offset, PORT_MAX + 1), range(port - offset, 0, -1)
        free = next(number for numbers in wanted for number in numbers if number not in taken and not (local and _is_taken(host, number)))
        taken.add(free)
        flags += f" --{name} {join_address(host, free)}"
    file, note = (shlex.quote(cluster), "") if Path(cluster).is_file() else ("FILE", "    (FILE: the cluster's ready file or cluster TOML)")
    return f"triskele replica --id {member} --cluster {file} --join --listen {address}{flags} --data-dir replica-{member}{note}"


def _is_taken(host: str, port: int) -> bool:
    """Whether some program of this machine listens there already."""
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        try:
            tried.bind((host, port))
        except OSError:
            return True
    return False
