"""One run from settings to result: a cluster behind proxies, load with its history recorded, faults meanwhile; then everything is judged."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import attrs
import trio

from loadgen import history
from loadgen.checked_run import finish_history
from loadgen.coordinator import run_load
from loadgen.machine import commit, machine, package_version
from loadgen.observer import Observer
from loadgen.progress import Progress
from triskele.agreement import compare_states
from triskele.chaos.judgement import SCHEMA, judge
from triskele.chaos.network import Network
from triskele.chaos.proxies import Proxies
from triskele.chaos.schedule import Pace, draw
from triskele.chaos.settings import kinds_of, load_of
from triskele.chaos.striking import Striker
from triskele.chaos.timeline import Completions
from triskele.cluster import ClusterFailed, local_cluster
from triskele.supervision import LeftDead, RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.coordinator import Gathered
    from loadgen.settings import LoadSettings
    from replica.config import Settings
    from triskele.agreement import Agreement
    from triskele.chaos.schedule import Fault
    from triskele.chaos.settings import ChaosSettings
    from triskele.cluster import LocalCluster

RESTARTS = RestartPolicy(first_seconds=0.5, most_seconds=2.0, refusals_max=100)
"""A disk that is full for a while must not leave a replica dead."""
BACK_SECONDS = 15.0
"""After the load, for every replica to listen, and then for their states to be equal."""

Result = dict[str, Any]


@attrs.define(eq=False)
class _Opening(Observer):
    """Tells when the load begins."""

    opened: trio.Event = attrs.Factory(trio.Event)
    opened_ns: int = 0  # CLOCK_MONOTONIC

    async def open(self) -> None:
        """Take the sample at the window's opening."""
        self.opened_ns = monotonic_ns()
        self.opened.set()
        await super().open()


@attrs.define
class _Lived:
    """What a run brought."""

    striker: Striker
    gathered: Gathered
    observer: _Opening
    agreement: Agreement


def chaos(settings: ChaosSettings, say: Callable[[str], None]) -> Result:
    """Run once; the history is left in the output folder, and the cluster's folder too if something is wrong.

    Args:
        settings: What to do; the output folder exists.
        say: Takes lines for the user.

    Raises:
        SettingError: A setting is wrong.
        ClusterFailed: The cluster did not come up.
        LoadFailed: The load could not begin, or a client process failed.
    """
    load, cluster_settings = load_of(settings)
    kinds, missing = kinds_of(settings, durable=cluster_settings.durability == "disk")
    pace = Pace.within(settings.seconds)
    schedule = draw(settings.seed, settings.replicas, settings.seconds, kinds, pace, forgetful=cluster_settings.durability == "memory")
    for name, why in missing.items():
        say(f"without {name}: {why}")
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=settings.output))
    lived = trio.run(_live, settings, load, cluster_settings, schedule, folder, say)
    check = finish_history(load, folder, say)
    assert check is not None
    completions = Completions.of(history.merge(lived.gathered.captures), lived.observer.opened_ns)
    result = {
        "schema": SCHEMA, "version": package_version(), "commit": commit(), "machine": machine(),
        "settings": {
            "replicas": settings.replicas, "seconds": settings.seconds, "seed": settings.seed, "nemeses": kinds, "left_out": missing,
            "durability": cluster_settings.durability, "mode": cluster_settings.mode, "load": settings.load,
        },
        **judge(settings.seconds, schedule, lived.striker.strikes, lived.striker.endings, completions, check, lived.agreement),
        "failed": sum(part["failed"] for part in lived.gathered.results),
        "unknown": sum(part["unknown"] for part in lived.gathered.results),
    }  # fmt: skip
    for capture in lived.gathered.captures:
        capture.unlink()
    result["cluster_folder"] = None if result["passed"] else str(folder)
    if result["passed"]:
        shutil.rmtree(folder)
    return result


async def _live(
    settings: ChaosSettings, load: LoadSettings, cluster_settings: Settings, schedule: list[Fault], folder: Path, say: Callable[[str], None]
) -> _Lived:
    """Run the cluster, its load and its faults."""
    network = Network()
    lived: _Lived | None = None
    with (settings.output / "replicas.log").open("w", encoding="utf-8") as log:

        def hear(words: str) -> None:
            log.write(f"{trio.current_time():.3f} {words}{os.linesep}")

        async with trio.open_nursery() as nursery:
            proxies = Proxies(network, nursery, folder, settings.seed)
            opened = local_cluster(
                settings.replicas, cluster_settings, data_dir=folder / "cluster", restarts=RESTARTS, say=hear, seen_by=proxies.seen_by
            )
            async with opened as cluster:
                striker = Striker(cluster, network, schedule, settings.seed, say)
                observer = _Opening(cluster.file)
                gathered = await _under_load(striker, observer, load, proxies.clients.addresses(), folder)
                say("the load has ended: are all replicas equal?")
                await _all_back(cluster)
                lived = _Lived(striker, gathered, observer, await compare_states(cluster.file, BACK_SECONDS))
            nursery.cancel_scope.cancel()
    assert lived is not None
    return lived


async def _under_load(striker: Striker, observer: _Opening, load: LoadSettings, addresses: list[str], folder: Path) -> Gathered:
    """Strike while the load runs."""

    async def strike() -> None:
        await observer.opened.wait()
        await striker.run()

    async with trio.open_nursery() as nursery:
        for place in observer.cluster.replicas:
            nursery.start_soon(striker.watch, place.id)
        nursery.start_soon(strike)
        gathered = await run_load(load, addresses, observer, Progress(load.clients, load.seconds, 0, None), folder)
        nursery.cancel_scope.cancel()
    return gathered


async def _all_back(cluster: LocalCluster) -> None:
    """Wait until every replica listens.

    Raises:
        ClusterFailed: One does not in time.
    """
    with trio.move_on_after(BACK_SECONDS) as waiting:
        for replica in cluster.keepers:
            try:
                await cluster.restarted(replica)
            except LeftDead as error:
                raise ClusterFailed(str(error)) from None
    if waiting.cancelled_caught:
        raise ClusterFailed(f"not every replica was back {BACK_SECONDS:g} s after the last fault")
