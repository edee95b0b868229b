"""The flags of ``triskele load``, and the run from settings to result: a cluster of its own if asked for, the load, the reports."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from loadgen import floors, report
from loadgen.checked_run import finish_history
from loadgen.coordinator import run_load
from loadgen.machine import commit, machine, package_version
from loadgen.observer import Observer
from loadgen.page import page
from loadgen.progress import Progress
from loadgen.settings import CLUSTER_FLAGS, add_load_flags, load_settings
from replica.cluster_file import parse_cluster
from replica.config import SettingError
from triskele.cli.framework import only_error

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import AsyncIterator, Callable

    from loadgen.floor_plan import FloorPlan
    from loadgen.settings import LoadSettings
    from replica.cluster_file import ClusterFile
    from replica.config import Settings

add_arguments = add_load_flags
"""Declares the flags."""

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_SIGNAL: Final = 128
"""Plus the signal's number, as shells have it."""


def run(arguments: Namespace) -> int:
    """Run the command; returns the exit status: 1 if operations failed, none completed, or a check did not pass; 130 after Ctrl-C.

    Raises:
        SettingError: a flag is wrong (exit status 2).
        LoadFailed: the cluster cannot be reached, or a process failed (exit status 1).
    """
    settings, cluster_settings = load_settings(arguments, os.environ)
    for name in ("history", "json", "html", "csv"):
        check_writable(settings.written(name), getattr(settings, name))
    with tempfile.TemporaryDirectory(prefix="triskele-load-") as folder:
        result = trio.run(until_signal, settings, cluster_settings, Path(folder))
        if isinstance(result, int):
            print(f"triskele: load: stopped by {signal.Signals(result).name}, nothing is reported", file=sys.stderr)
            return EXIT_SIGNAL + result
        say = Progress(settings.clients, 0.0, 0, None if settings.quiet else sys.stderr).say
        if settings.records:
            result["check"] = finish_history(settings, Path(folder), say)
    write_reports(settings, result)
    if not settings.quiet:
        print(report.table(result))
    if result["reasons"]:
        told = ", ".join(f"{count} {reason}" for reason, count in result["reasons"].items())
        print(f"triskele: load: {result['failed']} operations failed, {result['unknown']} have an unknown outcome: {told}", file=sys.stderr)
    passed = result["check"] is None or report.check_passed(result["check"])
    return EXIT_DONE if result["operations"] and not result["failed"] and not result["unknown"] and passed else EXIT_FAILED


def check_writable(what: str, text: str) -> None:
    """Refuse a file that cannot be written before the run, not after it.

    Raises:
        SettingError: its folder is missing, or it is a folder.
    """
    if not text:
        return
    file = Path(text)
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise SettingError(what, text, "cannot be written")


async def until_signal(settings: LoadSettings, cluster_settings: Settings, folder: Path) -> report.Result | int:
    """As ``measure``; SIGINT or SIGTERM ends everything that was started, and is returned."""
    found: report.Result | int = 0

    async def watch(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        nonlocal found
        found = await anext(signals)
        scope.cancel()

    try:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch, signals, nursery.cancel_scope)
                found = await measure(settings, cluster_settings, folder)
                nursery.cancel_scope.cancel()
    except ExceptionGroup as group:  # of one: the nursery has no other task that fails
        raise only_error(group) from None
    return found


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


def write_reports(settings: LoadSettings, result: report.Result) -> None:
    """Write the files that were asked for."""
    texts: dict[str, Callable[[], str]] = {
        "json": lambda: json.dumps(result, indent=1) + "\n",
        "html": lambda: page(result),
        "csv": lambda: report.to_csv(result),
    }
    for name, make in texts.items():
        file = getattr(settings, name)
        if file:
            Path(file).write_text(make(), encoding="utf-8")
