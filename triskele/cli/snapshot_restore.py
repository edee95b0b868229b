"""``triskele snapshot restore``: a file into the folder of a new cluster, for ``triskele up``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from replica.config import SETTINGS, SettingError
from triskele.cli.arguments import add_output_argument, path_type, whole

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele snapshot restore backup.snapshot --data-dir data               # then: triskele up --data-dir data",
    "triskele snapshot restore backup.snapshot --data-dir data --replicas 5 --mode curp",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="what `triskele snapshot save` wrote")
    parser.add_argument("--data-dir", metavar="DIR", type=path_type, required=True, help="folder of the new cluster; empty or missing")
    parser.add_argument("--replicas", metavar="N", type=whole(1, 9), default=3, help="1, 3, 5, 7 or 9 (default 3)")
    mode = SETTINGS["mode"]
    parser.add_argument("--mode", choices=mode.choices, default=mode.default, help=f"how the new cluster agrees on commands (default {mode.default})")
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    from triskele.cluster_ports import REPLICA_COUNTS
    from triskele.restored_cluster import restore_cluster

    if arguments.replicas not in REPLICA_COUNTS:
        raise SettingError("--replicas", arguments.replicas, "must be one of " + ", ".join(map(str, REPLICA_COUNTS)))
    told = restore_cluster(arguments.file, arguments.data_dir, arguments.replicas, arguments.mode).summary()
    if arguments.output == "json":
        print(json.dumps({"data_dir": str(arguments.data_dir), "replicas": arguments.replicas, "mode": arguments.mode, **told}, indent=1))
    else:
        print(f"{arguments.data_dir}: {arguments.replicas} replicas with {told['keys']} keys at position {told['position']}")
        print(f"start them: triskele up --data-dir {arguments.data_dir}")
    return 0
