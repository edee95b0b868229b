"""Runs a sweep: one process of ``triskele load`` after the other, each with a cluster of its own, so that nothing leaks from run to run.

The load has a process group of its own: Ctrl-C in a terminal reaches the sweep, which lets the load end its cluster, and drops that run.
What runs is what the sweep's file says: ``TRISKELE_…`` variables of the environment do not reach it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import trio

from loadgen.sweep.folder import read_result
from replica.stop_signals import open_stop_signals
from triskele.child import child_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from loadgen.sweep.folder import Folder
    from loadgen.sweep.plan import Plan, Run
    from loadgen.sweep.progress import SweepProgress

LOAD_PROGRAM: Final = (sys.executable, "-P", "-m", "triskele", "load")
GRACE_SECONDS: Final = 15.0
"""For a load to end its cluster before it is killed."""
FAILURE_LETTERS_MAX: Final = 500


async def execute(plan: Plan, folder: Folder, progress: SweepProgress, program: Sequence[str] = LOAD_PROGRAM) -> int:
    """Run what is still to be done.

    Args:
        plan: The sweep.
        folder: Of the results.
        progress: Told what happens.
        program: What takes the flags of ``triskele load``.

    Returns:
        0, or the number of the signal that ended it early.

    Raises:
        OSError: The folder cannot be written any more.
    """
    stopped = 0

    async def watch(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        nonlocal stopped
        stopped = await anext(signals)
        scope.cancel()

    async def tick() -> None:
        while True:
            await trio.sleep(1.0)
            progress.tick()

    failure: OSError | None = None
    with open_stop_signals() as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, signals, nursery.cancel_scope)
            if progress.is_live:
                nursery.start_soon(tick)
            try:
                await _execute_all(plan, folder, progress, program)
            except OSError as error:  # raised again below: the nursery would wrap it in a group
                failure = error
            nursery.cancel_scope.cancel()
    progress.end()
    if failure is not None:
        raise failure
    return stopped


async def _execute_all(plan: Plan, folder: Folder, progress: SweepProgress, program: Sequence[str]) -> None:
    todo = []
    for run in plan.runs():
        if folder.outcome(run) is None:
            todo.append(run)
        else:
            progress.skip(run)
    for run in todo:
        progress.begin(run)
        folder.clear()
        failure = await run_once(run, folder, program, plan.run_seconds_max)
        progress.finish(folder.keep(run, failure))


async def run_once(run: Run, folder: Folder, program: Sequence[str], seconds_max: float) -> str:
    """Run the load once; its result is in ``folder.running``. Return why it failed, empty if it did not."""
    command = [*program, *run.point.words(), "--quiet", "--json", str(folder.running)]
    with folder.said.open("wb") as said:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, process_group=0, env=environment_of(run)
        )
    try:
        with trio.move_on_after(seconds_max) as limit:
            await process.wait()
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)
    if limit.cancelled_caught:
        return f"took longer than {seconds_max:g} s"
    status = process.returncode
    if status == 0:
        return "" if read_result(folder.running) is not None else "ended with status 0 and wrote no result"
    lines = [line for line in folder.said.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    why = lines[-1].removeprefix("triskele: ")[:FAILURE_LETTERS_MAX] if lines else "said nothing"
    ending = f"was killed by {signal.Signals(-status).name}" if status is not None and status < 0 else f"ended with status {status}"
    return f"{ending}: {why}"


def environment_of(run: Run) -> dict[str, str]:
    """Return the environment of a run: ours without settings, and the run's own."""
    return {name: value for name, value in child_environment().items() if not name.startswith("TRISKELE_")} | run.point.variables()


async def _end(process: trio.Process) -> None:
    """End a load that still runs, and what it started."""
    if process.returncode is not None:
        return
    process.terminate()
    with trio.move_on_after(GRACE_SECONDS):
        await process.wait()
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
