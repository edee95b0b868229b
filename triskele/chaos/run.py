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
from loadgen.stopping import EXIT_SIGNAL, until_signal
from triskele.agreement import Agreement, compare_states
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
    import signal
    from collections.abc import Callable, Iterable, Mapping

    from loadgen.settings import LoadSettings
    from replica.config import Settings
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
    """What a run brought; one that a signal ended, as far as it came."""

    striker: Striker | None = None
    observer: _Opening | None = None
    agreement: Agreement | None = None
    ended_ns: int = 0  # the load, CLOCK_MONOTONIC


class Stopped(Exception):
    """A signal ended the run before there was anything to report."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"chaos: stopped by {number.name} before the load began, nothing is reported")
        self.exit_status = EXIT_SIGNAL + number


def chaos(settings: ChaosSettings, say: Callable[[str], None]) -> Result:
    """Run once; the history is left in the output folder, and the cluster's folder too if something is wrong.

    SIGINT, SIGTERM and SIGHUP end it: what was done until then is judged, and the result is ``partial``.

    Args:
        settings: What to do; the output folder exists.
        say: Takes lines for the user.

    Raises:
        SettingError: A setting is wrong.
        ClusterFailed: The cluster did not come up.
        LoadFailed: The load could not begin, or a client process failed.
        Stopped: A signal came before the load began.
    """
    load, cluster_settings = load_of(settings)
    kinds, missing = kinds_of(settings, durable=cluster_settings.durability == "disk")
    pace = Pace.within(settings.seconds)
    schedule = draw(settings.seed, settings.replicas, settings.seconds, kinds, pace, forgetful=cluster_settings.durability == "memory")
    for name, why in missing.items():
        say(f"without {name}: {why}")
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=settings.output))
    lived = _Lived()
    told = {
        "replicas": settings.replicas, "seconds": settings.seconds, "seed": settings.seed, "nemeses": kinds, "left_out": missing,
        "durability": cluster_settings.durability, "mode": cluster_settings.mode, "load": settings.load,
    }  # fmt: skip
    try:
        _, stopped = trio.run(until_signal, _live, settings, load, cluster_settings, schedule, folder, say, lived)
        result = {
            "schema": SCHEMA, "version": package_version(), "commit": commit(), "machine": machine(), "settings": told,
            **_judged(settings.seconds, load, schedule, folder, say, lived, stopped),
        }  # fmt: skip
    except (KeyboardInterrupt, Stopped):
        shutil.rmtree(folder)
        raise
    wrong = len(result["problems"]) > result["partial"]  # being partial is one of them
    result["cluster_folder"] = str(folder) if wrong else None
    if not wrong:
        shutil.rmtree(folder)
    return result


def _judged(
    seconds: float,
    load: LoadSettings,
    schedule: list[Fault],
    folder: Path,
    say: Callable[[str], None],
    lived: _Lived,
    stopped: signal.Signals | None,
) -> Result:
    """Judge what was lived through, all of it or its beginning."""
    if stopped is not None and not lived.ended_ns:
        raise Stopped(stopped)
    assert lived.striker is not None
    assert lived.observer is not None
    captures = [folder / f"captured-{number}" for number in range(load.clients)]
    words, lasted = "", seconds
    if stopped is not None:
        lasted = min(seconds, (lived.ended_ns - lived.observer.opened_ns) / 1e9)
        words = f"stopped by {stopped.name} after {lasted:.1f} s of {seconds:g}: the rest was not tried, and the replicas were not compared"
        say(f"stopped by {stopped.name}: judging what there is")
        history.trim(captures)
    unwritten: list[str] = []
    check = finish_history(load, folder, say, unwritten)
    assert check is not None
    completions = Completions.of(history.merge(captures), lived.observer.opened_ns)
    agreement = lived.agreement or Agreement("unknown", why=words)
    result = judge(lasted, schedule, lived.striker.strikes, lived.striker.endings, completions, check, agreement, words)
    result |= {"stopped": stopped.name if stopped is not None else None, "unwritten": unwritten, **outcomes(history.merge(captures))}
    for capture in captures:
        capture.unlink()
    return result


def outcomes(events: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many commands ``failed``, and of how many the outcome is ``unknown``."""
    open_, counts = 0, {"failed": 0, "unknown": 0}
    for event in events:
        open_ += 1 if event["type"] == "invoke" else -1
        counts["failed"] += event["type"] == "fail" and "swapped" not in event
        counts["unknown"] += event["type"] == "unknown"
    return {"failed": counts["failed"], "unknown": counts["unknown"] + open_}


async def _live(
    settings: ChaosSettings,
    load: LoadSettings,
    cluster_settings: Settings,
    schedule: list[Fault],
    folder: Path,
    say: Callable[[str], None],
    lived: _Lived,
) -> None:
    """Run the cluster, its load and its faults."""
    network = Network()
    with (settings.output / "replicas.log").open("w", encoding="utf-8") as log:

        def hear(words: str) -> None:
            log.write(f"{trio.current_time():.3f} {words}{os.linesep}")

        async with trio.open_nursery() as nursery:
            proxies = Proxies(network, nursery, folder, settings.seed)
            opened = local_cluster(
                settings.replicas, cluster_settings, data_dir=folder / "cluster", restarts=RESTARTS, say=hear, seen_by=proxies.seen_by
            )
            async with opened as cluster:
                lived.striker = Striker(cluster, network, schedule, settings.seed, say)
                lived.observer = _Opening(cluster.file)
                await _under_load(lived, lived.striker, lived.observer, load, proxies.clients.addresses(), folder)
                say("the load has ended: are all replicas equal?")
                await _all_back(cluster)
                lived.agreement = await compare_states(cluster.file, BACK_SECONDS)
            nursery.cancel_scope.cancel()


async def _under_load(lived: _Lived, striker: Striker, observer: _Opening, load: LoadSettings, addresses: list[str], folder: Path) -> None:
    """Strike while the load runs."""

    async def strike() -> None:
        await observer.opened.wait()
        await striker.run()

    async with trio.open_nursery() as nursery:
        for place in observer.cluster.replicas:
            nursery.start_soon(striker.watch, place.id)
        nursery.start_soon(strike)
        try:
            await run_load(load, addresses, observer, Progress(load.clients, load.seconds, 0, None), folder)
        finally:
            lived.ended_ns = monotonic_ns() if observer.opened_ns else 0
        nursery.cancel_scope.cancel()


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
