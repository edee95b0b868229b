"""One run: starts the client processes, lets them begin and end at one moment, watches the replicas, gathers what they measured.

The window is planned on CLOCK_MONOTONIC, which all processes of a machine share: every client process opens and closes it by its own clock, and
this process takes its samples of the replicas at the same two moments. With a number of operations each process measures its share, and the
window ends with the last of them.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from loadgen.lines import JsonLines
from loadgen.runner import LoadFailed
from loadgen.worker import WorkerSettings
from triskele.child import child_environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadgen.observer import Observer
    from loadgen.progress import Progress
    from loadgen.settings import LoadSettings

WORKER_PROGRAM: Final = (sys.executable, "-P", "-m", "loadgen.worker")
_LEAD_SECONDS: Final = 0.2
"""Between the order and the beginning it names."""
_START_SECONDS: Final = 30.0
"""Time for client processes to start, beside ``connect_seconds``."""


@attrs.define(eq=False)
class ClientProcess:
    """A client process as the coordinator sees it."""

    number: int
    process: trio.Process
    ready: trio.Event = attrs.Factory(trio.Event)
    loaded: trio.Event = attrs.Factory(trio.Event)
    closed: trio.Event = attrs.Factory(trio.Event)
    finished: trio.Event = attrs.Factory(trio.Event)
    result: dict[str, Any] = attrs.Factory(dict)

    async def listen(self, progress: Progress) -> None:
        """Take what it tells, until it has nothing more to tell.

        Raises:
            LoadFailed: it failed, or ended before its result.
        """
        assert self.process.stdout is not None
        async for told in JsonLines(self.process.stdout):
            event = told.pop("event")
            if event == "second":
                progress.second(told)
            elif event == "failed":
                raise LoadFailed(told["reason"])
            elif event == "result":
                self.result = told
                self.closed.set()
                self.finished.set()
            else:
                {"ready": self.ready, "loaded": self.loaded, "closed": self.closed}[event].set()
        if not self.finished.is_set():
            status = await self.process.wait()
            raise LoadFailed(f"client process {self.number} ended with status {status} before its result")

    async def order(self, **order: object) -> None:
        """Send an order.

        Raises:
            LoadFailed: it is gone.
        """
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send_all(json.dumps(order).encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise LoadFailed(f"client process {self.number} has ended") from None


@attrs.frozen
class Gathered:
    """What a run brought: each process's result (``Window.result`` and more), and the captured histories."""

    results: list[dict[str, Any]]
    captures: list[Path]


async def run_load(
    settings: LoadSettings,
    addresses: Sequence[str],
    observer: Observer,
    progress: Progress,
    folder: Path,
    *,
    trace: bool = False,
    profile_hz: float = 0.0,
) -> Gathered:
    """Run the load once.

    Args:
        settings: what to do.
        addresses: of the replicas, as clients dial them.
        observer: of the replicas.
        progress: told what happens.
        folder: for captured histories.
        trace: whether each result tells what went over the links.
        profile_hz: samples a second of each client process's time, for its result's ``profile``; 0: none.

    Raises:
        LoadFailed: the cluster cannot be reached, or a client process failed.
    """
    captures = [folder / f"captured-{number}" for number in range(settings.clients)] if settings.records else []
    try:
        orders = [worker_settings(settings, addresses, number, captures, trace=trace, profile_hz=profile_hz) for number in range(settings.clients)]
        return await _run(settings, orders, observer, progress, captures)
    except* LoadFailed as failures:
        failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):  # several processes may have told the same
        failure = failure.exceptions[0]
    raise failure


async def _run(settings: LoadSettings, orders: Sequence[WorkerSettings], observer: Observer, progress: Progress, captures: list[Path]) -> Gathered:
    """As ``run_load``; what fails comes out in groups."""
    processes: list[ClientProcess] = []
    try:
        async with trio.open_nursery() as nursery:
            for number, told in enumerate(orders):
                processes.append(ClientProcess(number, await _start()))
                nursery.start_soon(processes[-1].listen, progress)
                await processes[-1].order(**attrs.asdict(told))
            await _conduct(settings, processes, observer, progress)
            for process in processes:
                await process.order(do="end")
        return Gathered([process.result for process in processes], captures)
    finally:
        with trio.CancelScope(shield=True):
            for process in processes:
                await _end(process.process)


async def _conduct(settings: LoadSettings, processes: list[ClientProcess], observer: Observer, progress: Progress) -> None:
    """Lead the client processes through the run."""
    with trio.move_on_after(settings.connect_seconds + _START_SECONDS) as starting:
        for process in processes:
            await process.ready.wait()
    if starting.cancelled_caught:
        raise LoadFailed(f"the client processes did not start within {settings.connect_seconds + _START_SECONDS:g} s")
    if settings.preloads:
        progress.say(f"writing {settings.key_space:,} keys")
        for process in processes:
            await process.order(do="preload")
        for process in processes:
            await process.loaded.wait()
    begin = monotonic() + _LEAD_SECONDS
    start = begin + settings.warmup_seconds
    end = start + settings.seconds if settings.seconds else None
    for process in processes:
        await process.order(do="measure", begin=begin, start=start, end=end, operations=share(settings.measured_operations, settings, process.number))
    await trio.sleep(max(0.0, start - monotonic()))  # this process may be late
    opened = trio.current_time()
    await observer.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(observer.watch, opened)
        if end is not None:
            await trio.sleep(max(0.0, end - monotonic()))
        else:
            for process in processes:
                await process.closed.wait()
        nursery.cancel_scope.cancel()
    await observer.close(trio.current_time() - opened)
    for process in processes:
        await process.finished.wait()


async def _start() -> trio.Process:
    return await trio.lowlevel.open_process(list(WORKER_PROGRAM), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment())


async def _end(process: trio.Process) -> None:
    """End a client process: by closing its input, and by force where that does not help."""
    if process.stdin is not None:
        await process.stdin.aclose()
    with trio.move_on_after(2.0):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


def share(total: int, settings: LoadSettings, number: int) -> int:
    """Return one process's part of a total that all parts add up to."""
    return total * (number + 1) // settings.clients - total * number // settings.clients


def worker_settings(
    settings: LoadSettings, addresses: Sequence[str], number: int, captures: Sequence[Path], *, trace: bool, profile_hz: float = 0.0
) -> WorkerSettings:
    """Return what a client process is told."""
    unique = secrets.token_hex(3) if captures else None
    return WorkerSettings(
        number=number,
        streams=settings.threads,
        first_stream=number * settings.threads,
        tokens=[secrets.token_hex(16) for _ in range(settings.threads)],
        addresses=list(addresses),
        per_stream=settings.links == "per-stream",
        pendings=settings.pendings,
        rate=settings.rate / settings.clients,
        connect_seconds=settings.connect_seconds,
        drain_seconds=settings.drain_seconds,
        conflict_seconds=settings.conflict_seconds,
        capture=str(captures[number]) if captures else "",
        trace=trace,
        profile_hz=profile_hz,
        workload=settings.workload_settings(unique),
    )
