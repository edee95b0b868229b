"""Disks become slow under load: strong writes wait for them, causal reads do not, and nobody should be elected for it.

``python -m tests.chaos.slow_disk --delay-ms 200 --slow all``: a cluster of three runs for a while as it is; then strace is attached to the chosen
replicas and holds each of their ``fdatasync`` up for so long; then it lets go.  Nothing in the replicas knows of it.  Without strace
(``apt-get install strace``), or without leave to trace, nothing can be measured: exit status 0 and a line that says so.

strace stops every system call of what it is attached to, so the figures are a little worse than those of a slow disk; ``--delay-ms 0``
tells by how much.
"""

from __future__ import annotations

import argparse
import math
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import attrs
import trio

from replica.config import Settings
from triskele.client import CAUSAL, Store, Unavailable, Unknown, connect
from triskele.cluster import ClusterFailed, LocalCluster, local_cluster
from triskele.cluster_status import gather_status
from triskele.leadership import find_leader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

TASKS = 8
"""Of each kind of command."""
PAUSE_SECONDS = 0.02
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 5.0
TIMEOUT_SECONDS = 30.0
CAUSAL_READ_SECONDS_MAX = 0.005
KINDS = ("strong put", "causal put", "causal get")
SLOW = ("all", "leader", "follower")


class CannotTrace(Exception):
    """strace is missing, or may not attach; the message is one line."""


@attrs.define
class Phase:
    """What was seen in one phase.

    Attributes:
        name: before, slow or after.
        view: The highest at its end.
        seconds: ``{kind of command: how long each took that ended in it}``.
        failed: Commands that ended as Unknown or Unavailable.
    """

    name: str
    view: int = 0
    seconds: dict[str, list[float]] = attrs.Factory(lambda: {kind: [] for kind in KINDS})
    failed: int = 0

    def lines(self) -> list[str]:
        """Tell it, in milliseconds."""
        told = []
        for kind, some in self.seconds.items():
            some.sort()
            cells = [median(some), some[math.ceil(len(some) * 0.99) - 1], some[-1]] if some else [math.nan] * 3
            told.append(f"{self.name:8}{kind:12}{len(some):8}" + "".join(f"{cell * 1000:10.1f}" for cell in cells))
        return [*told, f"{self.name:8}view {self.view}, failed {self.failed}"]


async def measure(delay_seconds: float, slow: str, seconds: float, folder: Path) -> list[Phase]:
    """Run a cluster whose disks become slow, and a load; return the phases.

    Args:
        delay_seconds: What each sync takes longer.
        slow: Whose disks, one of ``SLOW``.
        seconds: For how long they are slow.
        folder: For the cluster, and in ``replicas.log`` what its replicas say.

    Raises:
        CannotTrace: strace cannot be used.
    """
    settings = Settings().changed("--durability", durability="disk")
    phases = [Phase("before"), Phase("slow"), Phase("after")]
    with (folder / "replicas.log").open("w") as log:

        def hear(words: str) -> None:
            print(f"{trio.current_time():.6f} {words}", file=log)

        async with local_cluster(3, settings, data_dir=folder / "cluster", say=hear) as cluster:
            addresses = ",".join(place.address for place in cluster.file.replicas)
            async with connect(addresses, timeout=TIMEOUT_SECONDS) as store, store.session() as causal, trio.open_nursery() as nursery:
                present = [phases[0]]
                _start_load(nursery, store, causal, present)
                await trio.sleep(BEFORE_SECONDS)
                pids = await _choose(cluster, slow, phases[0])
                async with _slowed(pids, delay_seconds):
                    present[0] = phases[1]
                    await trio.sleep(seconds)
                present[0] = phases[2]
                phases[1].view = await _view(cluster)
                await trio.sleep(AFTER_SECONDS)
                phases[2].view = await _view(cluster)
                nursery.cancel_scope.cancel()
    return phases


async def _choose(cluster: LocalCluster, slow: str, phase: Phase) -> list[int]:
    """Return the processes whose disks become slow, and note the view."""
    leading = find_leader(cluster.file, await gather_status(cluster.file, 5.0))
    if leading is None:
        raise ClusterFailed("nobody leads")
    phase.view = leading.view
    followers = [replica for replica in cluster.alive if replica != leading.id]
    chosen = {"all": cluster.alive, "leader": [leading.id], "follower": followers[:1]}[slow]
    return [cluster.children[replica].pid for replica in chosen]


async def _view(cluster: LocalCluster) -> int:
    return max(int(row.get("view", 0)) for row in await gather_status(cluster.file, 5.0))


@asynccontextmanager
async def _slowed(pids: list[int], delay_seconds: float) -> AsyncIterator[None]:
    """Hold the syncs of these processes up for the length of the block."""
    inject = f"inject=fdatasync:delay_exit={round(delay_seconds * 1e6)}"
    words = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject, *(word for pid in pids for word in ("-p", str(pid)))]
    process = await trio.lowlevel.open_process(words, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        told = b""
        while told.count(b" attached") < len(pids):  # "strace: Process 123 attached", once for each
            more = await process.stderr.receive_some()
            if not more:
                raise CannotTrace(f"strace ended: {told.decode(errors='replace').strip()}")
            told += more
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, process.stderr)
            yield
            nursery.cancel_scope.cancel()
    finally:
        process.send_signal(signal.SIGINT)  # it lets go of them and ends
        with trio.CancelScope(shield=True):
            await process.wait()


async def _drain(stream: trio.abc.ReceiveStream) -> None:
    """Read what nobody wants, so that its writer does not wait."""
    async for _ in stream:
        pass


def _start_load(nursery: trio.Nursery, store: Store, causal: Store, present: list[Phase]) -> None:
    """Run commands of each kind until cancelled; each counts for the phase it ends in. Causal reads are alone in their session."""

    async def loop(kind: str, command: Callable[[], Awaitable[object]]) -> None:
        while True:
            begun = trio.current_time()
            try:
                await command()
                present[0].seconds[kind].append(trio.current_time() - begun)
            except (Unknown, Unavailable):
                present[0].failed += 1
            await trio.sleep(PAUSE_SECONDS)

    for number in range(TASKS):
        key = b"key.%d" % number
        nursery.start_soon(loop, "strong put", lambda key=key: store.put(key, b"strong"))
        nursery.start_soon(loop, "causal put", lambda key=key: store.put(b"causal." + key, b"causal", consistency=CAUSAL))
        nursery.start_soon(loop, "causal get", lambda key=key: causal.get(key, consistency=CAUSAL))


def faults(before: Phase, slow: Phase) -> list[str]:
    """Say what should not have been."""
    reads = slow.seconds["causal get"]
    found = [f"{slow.view - before.view} views passed while disks were slow"] if slow.view != before.view else []
    if not reads or median(reads) > CAUSAL_READ_SECONDS_MAX:
        found.append(f"causal reads took more than {CAUSAL_READ_SECONDS_MAX * 1000:g} ms at the median")
    return found


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay-ms", type=float, default=2000.0, help="what each sync takes longer (default 2000)")
    parser.add_argument("--slow", choices=SLOW, default="all", help="whose disks (default all)")
    parser.add_argument("--seconds", type=float, default=20.0, help="for how long (default 20)")
    arguments = parser.parse_args()
    if shutil.which("strace") is None:
        print("strace is not installed: disks cannot be made slow, nothing was measured")
        return 0
    phases: list[Phase] = []
    with tempfile.TemporaryDirectory(prefix="triskele-slow-") as folder:
        try:
            phases = trio.run(measure, arguments.delay_ms / 1000, arguments.slow, arguments.seconds, Path(folder))
        except* CannotTrace as error:
            print(f"nothing was measured: {error.exceptions[0]}")
    if not phases:
        return 0
    print(f"{'phase':8}{'milliseconds':12}{'count':>8}{'p50':>10}{'p99':>10}{'longest':>10}")
    print("\n".join(line for phase in phases for line in phase.lines()))
    wrong = faults(phases[0], phases[1])
    print("\n".join(f"NOT AS IT SHOULD BE: {fault}" for fault in wrong) or "as it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
