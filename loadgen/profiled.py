"""A run of the load generator whose replicas and client processes are sampled meanwhile, for ``triskele profile``.

Both are sampled inside the measured window: replicas through their admin addresses, client processes by themselves.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from loadgen import report
from loadgen.coordinator import run_load
from loadgen.machine import commit, machine, package_version
from loadgen.observer import Observer
from replica.config import SettingError
from replica.profiling.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loadgen.progress import Progress
    from loadgen.settings import LoadSettings
    from replica.cluster_file import ClusterFile


@attrs.define(eq=False)
class TellingObserver(Observer):
    """Watches replicas, and tells when the measured window has opened."""

    opened: trio.Event = attrs.field(factory=trio.Event)

    async def open(self) -> None:
        """As its base does."""
        await super().open()
        self.opened.set()


async def profiled_load(
    settings: LoadSettings, cluster: ClusterFile, progress: Progress, sample_all: Callable[[], Awaitable[None]], hz: float
) -> tuple[report.Result, list[Recording]]:
    """Put the load on a cluster; ``sample_all`` is called when its window has opened, which should be a little longer.

    Returns:
        The result (schema ``triskele.load/1``) and the recordings of the client processes.

    Raises:
        LoadFailed: the cluster cannot be reached, or a process failed.
        SettingError: the cluster has no addresses of the wanted kind.
    """
    addresses = cluster.addresses(settings.transport)
    if not addresses:
        raise SettingError(settings.written("transport"), settings.transport, "the cluster has no such addresses")
    observer = TellingObserver(cluster)

    async def sample() -> None:
        await observer.opened.wait()
        await sample_all()

    with tempfile.TemporaryDirectory(prefix="triskele-load-") as folder:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sample)
            gathered = await run_load(settings, addresses, observer, progress, Path(folder), profile_hz=hz)
            progress.end()
    operations = sum(result["operations"] for result in gathered.results)
    result = report.build(
        settings=settings.as_json(),
        results=gathered.results,
        replicas=observer.report(operations),
        machine=machine(),
        version=package_version(),
        commit=commit(),
    )
    return result, [Recording.from_json(own["profile"]) for own in gathered.results]
