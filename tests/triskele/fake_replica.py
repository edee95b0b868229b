"""Stands in for ``python -m replica`` where the supervisor is what is tested: listens, announces, serves the admin pages.

``FAKE`` in the environment changes its ways: ``id:word`` pairs with words ``dies`` (status 2 at start), ``stubborn`` (ignores SIGTERM),
``silent`` (never announces), ``noisy`` (writes lines), ``frozen`` (its event loop stands still).  ``FAKE_LEADERS`` names a file of
``id@view`` words, read again for every page: who says that it leads which view; without it replica 0 leads view 1.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from replica.admin import AdminServer, admin_routes, json_page
from replica.cluster_file import read_cluster_file
from replica.listening import bound_address, open_socket
from triskele.attached import stop_at_end_of_input

if TYPE_CHECKING:
    import socket


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", type=int)
    for flag in ("--cluster", "--listen", "--websocket", "--admin", "--mode", "--durability", "--forward-seconds"):
        parser.add_argument(flag)
    parser.add_argument("--announce", action="store_true")
    parser.add_argument("--attached", action="store_true")
    arguments = parser.parse_args()
    ways = {pair.partition(":")[2] for pair in os.environ.get("FAKE", "").split(",") if pair.partition(":")[0] == str(arguments.id)}
    if "dies" in ways:
        sys.stderr.write("planted death\n")
        sys.exit(2)
    if "stubborn" in ways:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert arguments.attached
    stop_at_end_of_input()
    cluster = read_cluster_file(Path(arguments.cluster))
    sockets = {name: open_socket(getattr(arguments, name)) for name in ("listen", "websocket", "admin")}
    told = {"address": bound_address(sockets["listen"]), "websocket": "", "admin": ""}
    assert told["address"] == cluster.replica(arguments.id).address
    if "noisy" in ways:
        sys.stdout.write("to stdout\n")
        sys.stderr.write(f"mode {arguments.mode}, forwards after {arguments.forward_seconds}\n")
        sys.stderr.write("x" * 100_000 + "\nno end")
        sys.stderr.flush()
    if "silent" not in ways:
        sys.stdout.write(json.dumps({"id": arguments.id, **told, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
    if "frozen" in ways:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    trio.run(serve, arguments.id, sockets["admin"])


def views() -> dict[int, int]:
    """Return {id of a leader: its view}."""
    file = os.environ.get("FAKE_LEADERS")
    words = Path(file).read_text().split() if file else ["0@1"]
    return {int(replica): int(view) for replica, _, view in (word.partition("@") for word in words)}


async def serve(replica_id: int, admin: socket.socket) -> None:
    def told() -> dict[str, object]:
        leads = views()
        return {"id": replica_id, "role": "leader" if replica_id in leads else "follower", "view": leads.get(replica_id, 0)}

    routes = admin_routes(status=told, ready=list, metrics=str)
    routes["/members"] = lambda _query: json_page({"leader": replica_id if replica_id in views() else -1, "pending": True})
    await AdminServer(routes).serve([trio.SocketListener(trio.socket.from_stdlib_socket(admin))])


if __name__ == "__main__":
    main()
