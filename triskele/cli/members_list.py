"""``triskele members list``: who belongs to a cluster, as its leader tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from triskele.cli.arguments import add_cluster_argument, add_output_argument

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele members list                                 # the cluster of triskele up on this machine",
    "triskele members list --cluster ready.json -o json    # by a ready file, for programs",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    add_cluster_argument(parser)
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    import trio

    from replica.cluster_file import parse_cluster
    from triskele.membership import read_members

    show(trio.run(read_members, parse_cluster(arguments.cluster)), arguments.output)
    return 0


def show(told: dict[str, Any], output: str) -> None:
    """Print what the leader tells of the members."""
    if output == "json":
        print(json.dumps(told, indent=1))
        return
    print(
        f"configuration {told['config_id']}{', a change is under way' if told['pending'] else ''}; replica {told['leader']} leads view {told['view']}"
    )
    replaced = dict(told["replacing"])
    for row in told["members"]:
        more = [row["address"]] if row["address"] else []
        if row["id"] == told["leader"]:
            more.append("leads")
        elif "linked" in row:
            more.append(f"{row['behind']} entries behind" if row["linked"] else "not linked")
        if row["id"] in replaced:
            more.append(f"takes the place of replica {replaced[row['id']]}")
        print(f"  replica {row['id']}  {row['role']:<7}  {', '.join(more)}".rstrip())
    if told["removed"]:
        print(f"  removed: {', '.join(map(str, told['removed']))}")
