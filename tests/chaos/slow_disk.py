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
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import attrs
import trio

from replica.config import Settings
from triskele.chaos.disks import CannotTrace, can_trace, slowed
from triskele.client import CAUSAL, Store, Unavailable, Unknown, connect
from triskele.cluster import ClusterFailed, LocalCluster, local_cluster
from triskele.cluster_status import gather_status
from triskele.leadership import find_leader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TASKS = 8
"""Of each kind of command."""
PAUSE_SECONDS = 0.02
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 5.0
TIMEOUT_SECONDS = 30.0
CAUSAL_READ_SECONDS_MAX = 0.005
KINDS = ("strong put", "causal put", "causal get")
SLOW = ("all", "leader", "follower")


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
                async with slowed(pids, delay_seconds):
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
    if not can_trace():
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
