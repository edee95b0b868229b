"""The flags of ``triskele load``, and the run from settings to result: a cluster of its own if asked for, the load, the reports."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from loadgen import floors, report
from loadgen.checked_run import finish_history
from loadgen.coordinator import run_load
from loadgen.files import check_files, write_or_tell
from loadgen.machine import commit, machine, package_version
from loadgen.observer import Observer
from loadgen.page import page
from loadgen.progress import Progress
from loadgen.settings import CLUSTER_FLAGS, add_load_flags, load_settings
from loadgen.stopping import EXIT_SIGNAL, until_signal, unwound
from replica.cluster_file import parse_cluster
from replica.config import SettingError
from triskele.cli.framework import complain

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import AsyncIterator, Callable

    from loadgen.floor_plan import FloorPlan
    from loadgen.settings import LoadSettings
    from replica.cluster_file import ClusterFile
    from replica.config import Settings

add_arguments = add_load_flags
"""Declares the flags."""

REPORTS: Final[dict[str, Callable[[report.Result], str]]] = {
    "json": lambda result: json.dumps(result, indent=1) + "\n",
    "html": page,
    "csv": report.to_csv,
}
"""``{setting that names a file: what is in it}``."""

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1


def run(arguments: Namespace) -> int:
    """Run the command.

    Returns:
        The exit status: 1 if operations failed, none completed, a check did not pass, or a file could not be written; 130 after Ctrl-C, 143 after
        SIGTERM.

    Raises:
        SettingError: a flag is wrong (exit status 2).
        LoadFailed: the cluster cannot be reached, or a process failed (exit status 1).
    """
    settings, cluster_settings = load_settings(arguments, os.environ)
    check_files({settings.written(name): getattr(settings, name) for name in ("history", *REPORTS)})
    unwritten: list[str] = []
    with unwound("load"), tempfile.TemporaryDirectory(prefix="triskele-load-") as folder:
        result, stopped = trio.run(until_signal, measure, settings, cluster_settings, Path(folder))
        if stopped is not None:
            complain(f"load: stopped by {stopped.name}, nothing is reported")
            return EXIT_SIGNAL + stopped
        say = Progress(settings.clients, 0.0, 0, None if settings.quiet else sys.stderr).say
        if settings.records:
            result["check"] = finish_history(settings, Path(folder), say, unwritten)
    unwritten += write_reports(settings, result)
    if not settings.quiet:
        print(report.table(result))
    problems = [*unwritten, *(f"load: {problem}" for problem in report.problems(result))]
    for problem in problems:
        complain(problem)
    return EXIT_FAILED if problems or result["failed"] or result["unknown"] else EXIT_DONE


async def measure(settings: LoadSettings, cluster_settings: Settings, folder: Path = Path()) -> report.Result:
    """Run the load, and the floors beside it if asked for; return the result. Captured histories, if any, go to a folder."""
    shown = sys.stderr if not settings.quiet else None
    progress = Progress(settings.clients, settings.seconds, settings.measured_operations, shown)
    async with target(settings, cluster_settings, progress) as cluster:
        result = await measure_once(settings, cluster, progress, folder)
        plan = await record(settings, cluster) if settings.floor else None
    if plan is not None:
        progress.say("measuring the floors")
        policy = (cluster_settings.batching, cluster_settings.batch_delay_us * 1e-6)
        result["floors"] = await floors.measure_floors(settings, plan, policy)
    result["settings"] |= {name: getattr(cluster_settings, name) for name in CLUSTER_FLAGS} if settings.local else told(cluster)
    return result


async def record(settings: LoadSettings, cluster: ClusterFile) -> FloorPlan:
    """Run the same load again for a moment with its links traced: the recording that the floors are made from."""
    settings = attrs.evolve(
        settings,
        operations=0,
        seconds=floors.RECORDED_SECONDS,
        warmup_seconds=floors.WARMUP_SECONDS,
        preload="no",
        history="",
        check=False,
        conflict_seconds=0.0,
    )
    observer = Observer(cluster)
    silent = Progress(settings.clients, 0.0, 0, None)
    gathered = await run_load(settings, cluster.addresses(settings.transport), observer, silent, Path(), trace=True)
    return floors.plan_of(settings, gathered, observer)


async def measure_once(settings: LoadSettings, cluster: ClusterFile, progress: Progress, folder: Path) -> report.Result:
    """Put the load on a cluster once."""
    addresses = cluster.addresses(settings.transport)
    if not addresses:
        raise SettingError(settings.written("transport"), settings.transport, "the cluster has no such addresses")
    observer = Observer(cluster)
    gathered = await run_load(settings, addresses, observer, progress, folder)
    progress.end()
    operations = sum(result["operations"] for result in gathered.results)
    return report.build(
        settings=settings.as_json(),
        results=gathered.results,
        replicas=observer.report(operations),
        machine=machine(),
        version=package_version(),
        commit=commit(),
    )


@asynccontextmanager
async def target(settings: LoadSettings, cluster_settings: Settings, progress: Progress) -> AsyncIterator[ClusterFile]:
    """Give the cluster to put load on; one of our own ends with the block."""
    from loadgen.distance import apart
    from triskele.cli.arguments import DEFAULT_CLUSTER
    from triskele.cluster import local_cluster

    if not settings.local:
        yield parse_cluster(settings.cluster or DEFAULT_CLUSTER, settings.written("cluster"))
        return
    if cluster_settings.origin("log_level") == "default":
        cluster_settings = cluster_settings.changed("triskele load", log_level="warning")  # the progress lines are what a user looks at
    if not settings.delay_ms:
        async with local_cluster(settings.local, cluster_settings, say=progress.say) as cluster:
            yield cluster.file
        return
    async with (
        apart(settings.delay_ms / 1000, settings.local) as proxies,
        local_cluster(settings.local, cluster_settings, say=progress.say, seen_by=proxies.seen_by),
    ):
        yield proxies.clients


def told(cluster: ClusterFile) -> dict[str, Any]:
    """Return what a cluster's file says of its settings."""
    return {"mode": cluster.mode, "durability": cluster.durability, "batching": None, "batch_delay_us": None}


def write_reports(settings: LoadSettings, result: report.Result) -> list[str]:
    """Write the files that were asked for; return a line for each that could not be written."""
    unwritten = []
    for name, make in REPORTS.items():
        if file := getattr(settings, name):
            text = make(result)
            unwritten += write_or_tell(settings.written(name), file, partial(Path(file).write_text, text, encoding="utf-8"))
    return unwritten
