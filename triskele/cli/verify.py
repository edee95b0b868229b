"""``triskele verify``: whether all replicas of a cluster have the same state; status 1 if they do not, or if it cannot be found out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_cluster_argument, add_output_argument, seconds
from triskele.cli.framework import CommandFailed

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

TIMEOUT_SECONDS = 10.0

EXAMPLES = (
    "triskele verify                                    # the cluster of triskele up on this machine",
    "triskele verify --cluster ready.json --timeout 60  # a large one, whose states take long to hash",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    add_cluster_argument(parser)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds(), default=TIMEOUT_SECONDS,
        help=f"to find a position that all replicas were asked at (default {TIMEOUT_SECONDS:g})",
    )  # fmt: skip
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    import attrs
    import trio

    from replica.cluster_file import parse_cluster
    from triskele.agreement import compare_states

    found = trio.run(compare_states, parse_cluster(arguments.cluster), arguments.timeout)
    hashes = sorted(found.hashes.items())
    if arguments.output == "json":
        print(json.dumps(attrs.asdict(found), indent=1))
    elif found.verdict == "equal":
        print(f"equal: {len(hashes)} replicas at position {found.position} have state hash {hashes[0][1]}")
    elif hashes:
        print(f"{found.verdict} at position {found.position}")
        print("\n".join(f"replica {replica}  {state_hash}" for replica, state_hash in hashes))
    if found.verdict == "unknown":
        raise CommandFailed(f"unknown: {found.why}")
    return 0 if found.verdict == "equal" else 1
