"""A sweep from its plan to its reports: the folder, the runs, and what is written when they are over or somebody ends them."""

from __future__ import annotations

import json
import signal
from typing import IO, TYPE_CHECKING, Final

import trio

from loadgen.measured import read_side
from loadgen.runner import LoadFailed
from loadgen.sweep.execution import LOAD_PROGRAM, execute
from loadgen.sweep.folder import open_folder
from loadgen.sweep.page import page
from loadgen.sweep.progress import SweepProgress
from loadgen.sweep.report import build, to_csv
from loadgen.sweep.tables import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadgen.sweep.folder import Folder, Outcome
    from loadgen.sweep.page import Series
    from loadgen.sweep.plan import Plan
    from loadgen.sweep.report import Report

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_SIGNAL: Final = 128
"""Plus the signal's number, as shells have it."""


def sweep(plan: Plan, path: Path, *, resume: bool, stream: IO[str] | None, program: Sequence[str] = LOAD_PROGRAM) -> tuple[Report, int]:
    """Run what is to be run of a sweep and write its reports.

    Args:
        plan: The sweep.
        path: Its folder.
        resume: Whether runs that are there already are part of it.
        stream: Where progress goes; None: nowhere.
        program: What takes the flags of ``triskele load``.

    Returns:
        The report, and the exit status: 0; 1 if a run failed; 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, with a report of what is there.

    Raises:
        SettingError: The folder cannot be used, or a result in it is not what its schema says.
        LoadFailed: It cannot be written any more.
    """
    with open_folder(path, plan, resume=resume) as folder:
        kept = folder.outcomes(plan)
        for outcome in kept:
            if outcome.result is not None:
                read_side(folder.result_file(outcome.run))  # said now, not after hours of the other runs
        done = len(kept)
        progress = SweepProgress(plan, done, stream)
        every = len(plan.runs())
        progress.say(f"{plan.name}: {len(plan.points)} points, {every} runs{f', {done} of them done' if done else ''}; about {progress.left()}")
        try:
            stopped = trio.run(execute, plan, folder, progress, program)
            folder.clear()
            report = write_reports(plan, folder)
        except OSError as error:
            raise LoadFailed(f"sweep: {path} cannot be written any more: {error.strerror or error}; --resume goes on") from None
    if stopped:
        progress.say(f"stopped by {signal.Signals(stopped).name}; {sum(len(point['runs']) for point in report['points'])} of {every} runs are kept")
        return report, EXIT_SIGNAL + stopped
    return report, EXIT_FAILED if report["failures"] else EXIT_DONE


def write_reports(plan: Plan, folder: Folder) -> Report:
    """Write ``report.json``, ``.csv``, ``.md`` and ``.html`` of what is in a folder."""
    outcomes = folder.outcomes(plan)
    report = build(plan, outcomes, started=folder.started, finished=folder.finished())
    texts = {"json": json.dumps(report, indent=1) + "\n", "csv": to_csv(report), "md": markdown(report), "html": page(report, series_of(outcomes))}
    for suffix, text in texts.items():
        (folder.path / f"report.{suffix}").write_text(text, encoding="utf-8")
    return report


def series_of(outcomes: Sequence[Outcome]) -> Series:
    """Return the rate of each run over its time, by point."""
    found: Series = {}
    for outcome in outcomes:
        if outcome.result is not None:
            found.setdefault(outcome.run.point.name, []).append(outcome.result["throughput_series"])
    return found
