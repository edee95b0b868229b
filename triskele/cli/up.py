"""``triskele up``: a local cluster in the foreground, one process per replica, until Ctrl-C."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from replica.config import SettingError, Settings, add_settings_flags, settings_from
from replica.listening import ListenError
from replica.stop_signals import open_stop_signals
from triskele.cli.arguments import path_type, seconds, whole
from triskele.cli.framework import CommandFailed, only_error

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import AsyncIterator

DEFAULT_PORT = 7400

EXAMPLES = (
    "triskele up --data-dir data                                 # three replicas at 127.0.0.1:7400, 7401, 7402; again: the same cluster",
    "triskele up --replicas 5 --port 0 --ready-file ready.json   # at free ports; ready.json tells where",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("--replicas", metavar="N", type=whole(1, 9), default=None, help="1, 3, 5, 7 or 9 (default 3, or as the folder's cluster)")
    parser.add_argument(
        "--port", metavar="P", type=whole(0, 65_535), default=None,
        help=f"replica i listens at P+i, its WebSocket at P+100+i, its admin at P+200+i; 0 picks free ports (default {DEFAULT_PORT})",
    )  # fmt: skip
    parser.add_argument(
        "--data-dir", metavar="DIR", type=path_type, default=None,
        help="folder of the cluster; the cluster in it is resumed (default: a temporary one, removed at the end)",
    )  # fmt: skip
    parser.add_argument(
        "--ready-file", metavar="FILE", type=path_type, default=None, help="JSON of who is where, from when a leader serves; kept true"
    )
    parser.add_argument(
        "--for", dest="for_seconds", metavar="SECONDS", type=seconds(), default=None, help="stop by itself after; from the start, ready or not"
    )
    parser.add_argument("--no-restart", action="store_true", help="leave dead replicas dead")
    add_settings_flags(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    settings = settings_from(arguments, os.environ)
    if arguments.port is not None and settings.listen:
        raise SettingError("--port", arguments.port, f"{settings.written('listen')} {settings.listen} says otherwise: give one of them")
    port = arguments.port if arguments.port is not None or settings.listen else DEFAULT_PORT
    try:
        return trio.run(_up, arguments, settings, port)
    except Exception as error:
        only = only_error(error)
        if isinstance(only, ListenError) and only.taken:
            raise CommandFailed(f"{only}; --port 0 picks free ones") from None
        raise


async def _up(arguments: Namespace, settings: Settings, port: int | None) -> int:
    """Run the cluster until it is told to stop, its time is over, or no replica is left."""
    from triskele.cluster import ClusterFailed, local_cluster
    from triskele.lines import Lines
    from triskele.supervision import RESTARTS

    say, is_ready = Lines(), False
    with open_stop_signals() as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, signals, nursery.cancel_scope)
            places = {"port": port, "data_dir": arguments.data_dir, "ready_file": arguments.ready_file}
            restarts = None if arguments.no_restart else RESTARTS
            with trio.move_on_after(arguments.for_seconds or float("inf")):
                async with local_cluster(arguments.replicas, settings, say=say, restarts=restarts, **places) as cluster:
                    leads = f"replica {cluster.file.leader} leads; mode {cluster.file.mode}, {cluster.file.durability}"
                    say(f"ready: {','.join(cluster.file.addresses())}; {leads}")
                    if arguments.data_dir is None and cluster.file.durability == "disk":
                        say("the data is in a temporary folder, removed at the end; --data-dir keeps it")
                    is_ready = True
                    raise ClusterFailed(await cluster.wait_over())
            if not is_ready:
                raise CommandFailed(f"--for {arguments.for_seconds:g}: over before a leader served")
            nursery.cancel_scope.cancel()
    return 0


async def _stop_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()
