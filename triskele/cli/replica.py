"""``triskele replica``: one replica of a cluster, in the foreground."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from replica.config import add_settings_flags, settings_from
from triskele.cli.arguments import path_type, whole

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLES = (
    "triskele replica --id 0 --cluster cluster.toml                  # addresses, mode and durability from the file",
    "triskele replica --id 3 --cluster ready.json --join --data-dir 3 --listen 127.0.0.1:7403 --websocket 127.0.0.1:7503 --admin 127.0.0.1:7603",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("--id", metavar="N", type=whole(0, 65_535), required=True, help="which replica of the cluster this is")
    parser.add_argument("--cluster", metavar="FILE", required=True, help="cluster TOML: cluster_id, mode, durability, [[replica]] id, address, …")
    parser.add_argument(
        "--join",
        action="store_true",
        help="a new replica, after triskele members add; what flags and FILE leave out is as usual: WebSocket 100 ports above, admin 200",
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", type=path_type, default=None, help="its data folder (default: what FILE says; of a new one replica-N)"
    )
    parser.add_argument("--announce", action="store_true", help="print one JSON line once it listens: id, address, websocket, admin, pid")
    parser.add_argument("--attached", action="store_true", help="stop when standard input ends; for supervisors")
    add_settings_flags(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    import trio

    from replica.cluster_file import read_cluster_file, settings_for
    from replica.listening import fit_connections
    from replica.server import serve
    from triskele.attached import stop_at_end_of_input
    from triskele.cli.logs import log_to_stderr
    from triskele.cluster_ports import with_usual_ports

    if arguments.attached:
        stop_at_end_of_input()
    cluster = read_cluster_file(Path(arguments.cluster)).with_replica(arguments.id, joins=arguments.join, data_dir=arguments.data_dir)
    settings = settings_from(arguments, os.environ)
    if arguments.join:
        settings = with_usual_ports(settings, cluster.replica(arguments.id))
    settings = settings_for(settings, cluster, arguments.id)
    log_to_stderr(settings.log_level, f"replica {arguments.id}")
    settings = fit_connections(settings)

    def listening(addresses: dict[str, str]) -> None:
        if arguments.announce:
            print(json.dumps({"id": arguments.id, **addresses, "pid": os.getpid()}), flush=True)

    async def serving() -> None:
        await serve(settings, cluster, arguments.id, listening=listening)

    trio.run(serving)
    return 0
