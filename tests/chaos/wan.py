"""Three replicas far apart, and a client beside one of them: what do causal and strong commands cost?

``python -m tests.chaos.wan --delay-ms 25``: every pair of replicas, and the client and every replica but its home (replica 1, a follower), are
``delay`` apart, one way.  A causal command must cost a local round trip, a strong one a single long round trip, its slow path would be two.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import trio

from replica.cluster_file import ClusterFile, ReplicaPlace, write_cluster_file
from replica.listening import bound_address, open_socket
from tests.chaos.proxy import Proxy

HOME = 1
REPLICAS = (0, 1, 2)


async def measure(delay_seconds: float, load: list[str], folder: Path) -> dict[str, object]:
    """Run the experiment; return the load generator's result."""
    sockets = {(replica, name): open_socket("127.0.0.1:0") for replica in REPLICAS for name in ("listen", "websocket", "admin")}
    addresses = {key: bound_address(opened) for key, opened in sockets.items()}
    with ExitStack() as running:
        async with trio.open_nursery() as nursery:

            async def through(replica: int) -> str:
                host, port = addresses[replica, "listen"].rsplit(":", 1)
                return f"127.0.0.1:{await nursery.start(Proxy(host, int(port), delay_seconds).serve)}"

            for replica in REPLICAS:
                seen = {peer: addresses[peer, "listen"] if peer == replica else await through(peer) for peer in REPLICAS}
                file = folder / f"replica-{replica}.toml"
                write_cluster_file(_cluster(seen, addresses), file)
                given = {name: sockets[replica, name] for name in ("listen", "websocket", "admin")}
                flags = [flag for name, opened in given.items() for flag in (f"--{name}", f"fd:{opened.fileno()}")]
                process = subprocess.Popen(
                    [sys.executable, "-m", "triskele", "replica", "--id", str(replica), "--cluster", str(file), *flags],
                    pass_fds=[opened.fileno() for opened in given.values()],
                )
                running.callback(process.wait)
                running.callback(process.terminate)
            clients = {replica: addresses[replica, "listen"] if replica == HOME else await through(replica) for replica in REPLICAS}
            write_cluster_file(_cluster(clients, addresses), folder / "client.toml")
            await trio.sleep(2 + 10 * delay_seconds)
            result = folder / "result.json"
            command = [sys.executable, "-m", "triskele", "load", "--cluster", str(folder / "client.toml"), "--json", str(result), *load]
            finished = await trio.run_process(command, check=False)
            nursery.cancel_scope.cancel()
    return json.loads(result.read_text()) if finished.returncode == 0 else {}


def _cluster(addresses: dict[int, str], admin: dict[tuple[int, str], str]) -> ClusterFile:
    places = [
        ReplicaPlace(
            id=replica, address=address, websocket=f"ws://{admin[replica, 'websocket']}", admin=f"http://{admin[replica, 'admin']}"
        )
        for replica, address in addresses.items()
    ]
    return ClusterFile(cluster_id="wan", mode="ho", durability="memory", replicas=tuple(places))


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay-ms", type=float, default=25.0, help="one way, each way (default 25)")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured (default 8)")
    arguments = parser.parse_args()
    load = ["--clients", "1", "--threads", "4", "--pendings", "4", "--seconds", str(arguments.seconds), "--warmup-seconds", "2"]
    with tempfile.TemporaryDirectory() as folder:
        result = trio.run(measure, arguments.delay_ms / 1000, load, Path(folder))
    if not result:
        return 1
    latency = result["latency_ms"]
    assert isinstance(latency, dict)
    trip = 2 * arguments.delay_ms
    causal, strong = latency["causal"]["p50"], latency["strong"]["p50"]
    print(f"one-way delay {arguments.delay_ms:g} ms: causal p50 {causal:.2f} ms, strong p50 {strong:.2f} ms ({strong / trip:.2f} long round trips)")
    return 0 if causal < 2.0 and strong < 1.5 * trip else 1  # noqa: PLR2004 - the promise


if __name__ == "__main__":
    sys.exit(main())
