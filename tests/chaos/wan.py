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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from replica.cluster_file import ClusterFile, ReplicaPlace, write_cluster_file
from replica.listening import bound_address, open_socket
from triskele.admin_client import AdminUnreachable, get
from triskele.chaos.network import CLIENTS, Effect, Network, ways_between
from triskele.chaos.proxy import Proxy

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

HOME = 1
REPLICAS = (0, 1, 2)


LOAD = ["--clients", "1", "--threads", "4", "--pendings", "4"]
START_SECONDS = 20.0


async def measure(delay_seconds: float, load: list[str], folder: Path) -> dict[str, Any]:
    """Run the experiment.

    Args:
        delay_seconds: one way, each way, on every long line.
        load: flags of ``triskele load``.
        folder: for the cluster files and the result.

    Returns:
        The load generator's result.

    Raises:
        RuntimeError: the cluster did not start, or the load failed.
    """
    with ExitStack() as running:
        sockets = {
            (replica, name): running.enter_context(open_socket("127.0.0.1:0")) for replica in REPLICAS for name in ("listen", "websocket", "admin")
        }
        addresses = {key: bound_address(opened) for key, opened in sockets.items()}
        network = Network()
        places = (CLIENTS, *REPLICAS)
        network.put(0, dict.fromkeys(ways_between(places, places), Effect(delay_seconds=delay_seconds)))
        async with trio.open_nursery() as nursery:

            async def seen_from(near: int) -> dict[int, str]:
                """Start proxies for everybody but the replica beside ``near``; return where each replica is as seen from there."""
                found = {}
                for replica in REPLICAS:
                    host, port = addresses[replica, "listen"].rsplit(":", 1)
                    beside = replica == (HOME if near == CLIENTS else near)
                    proxy = Proxy(near, replica, host, int(port), network)
                    found[replica] = f"{host}:{port}" if beside else f"{host}:{await nursery.start(proxy.serve)}"
                return found

            for replica in REPLICAS:
                file = folder / f"replica-{replica}.toml"
                write_cluster_file(_cluster(await seen_from(replica), addresses), file)
                running.enter_context(_replica(replica, file, sockets))
            clients = _cluster(await seen_from(CLIENTS), addresses)
            write_cluster_file(clients, folder / "client.toml")
            await _ready(clients)
            result = folder / "result.json"
            command = [sys.executable, "-m", "triskele", "load", "--cluster", str(folder / "client.toml"), "--json", str(result), *load]
            finished = await trio.run_process(command, check=False)
            nursery.cancel_scope.cancel()
    if finished.returncode != 0:
        raise RuntimeError(f"the load ended with status {finished.returncode}")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


@contextmanager
def _replica(replica: int, file: Path, sockets: dict[tuple[int, str], socket.socket]) -> Iterator[None]:
    """Run a replica's process for the length of the block; its sockets are its own from then on."""
    given = {name: sockets[replica, name] for name in ("listen", "websocket", "admin")}
    flags = [flag for name, opened in given.items() for flag in (f"--{name}", f"fd:{opened.fileno()}")]
    command = [sys.executable, "-m", "triskele", "replica", "--id", str(replica), "--cluster", str(file), "--log-level", "warning", *flags]
    process = subprocess.Popen(command, pass_fds=[opened.fileno() for opened in given.values()])
    for opened in given.values():
        opened.close()
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _ready(cluster: ClusterFile) -> None:
    """Wait until every replica says that it can serve."""
    with trio.move_on_after(START_SECONDS):
        for place in cluster.replicas:
            while True:
                try:
                    if (await get(place.admin, "/readyz")).status == 200:
                        break
                except AdminUnreachable:
                    pass
                await trio.sleep(0.05)
        return
    raise RuntimeError(f"the replicas were not ready within {START_SECONDS:g} s")


def verdict(result: dict[str, Any], delay_seconds: float) -> tuple[float, float]:
    """Return the medians of causal and strong commands, in long round trips."""
    latency, trip = result["latency_ms"], 2000 * delay_seconds
    return latency["causal"]["p50"] / trip, latency["strong"]["p50"] / trip


def _cluster(addresses: dict[int, str], admin: dict[tuple[int, str], str]) -> ClusterFile:
    places = [
        ReplicaPlace(id=replica, address=address, websocket=f"ws://{admin[replica, 'websocket']}", admin=f"http://{admin[replica, 'admin']}")
        for replica, address in addresses.items()
    ]
    return ClusterFile(cluster_id="wan", mode="ho", durability="memory", replicas=tuple(places))


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay-ms", type=float, default=25.0, help="one way, each way (default 25)")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured (default 8)")
    arguments = parser.parse_args()
    delay = arguments.delay_ms / 1000
    with tempfile.TemporaryDirectory() as folder:
        load = [*LOAD, "--seconds", str(arguments.seconds), "--warmup-seconds", "2"]
        result = trio.run(measure, delay, load, Path(folder))
    causal, strong = verdict(result, delay)
    causal_ms = causal * 2 * arguments.delay_ms
    print(f"one-way delay {arguments.delay_ms:g} ms: causal p50 {causal_ms:.2f} ms, strong p50 {strong:.2f} long round trips")
    return 0 if causal_ms < 2.0 and strong < 1.5 else 1


if __name__ == "__main__":
    sys.exit(main())
