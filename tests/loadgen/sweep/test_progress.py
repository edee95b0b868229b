"""The time left is that of the planned seconds and of what runs took beside them."""

from __future__ import annotations

import io

import pytest

from loadgen.sweep.folder import Outcome
from loadgen.sweep.progress import START_SECONDS, SweepProgress, duration
from tests.loadgen.sweep.stand import plan, result
from tests.loadgen.test_live_line import Terminal


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_for_each_run_and_the_time_left() -> None:
    swept, clock, stream = plan(), Clock(), io.StringIO()  # eight runs of one planned second
    progress = SweepProgress(swept, 0, stream, clock)
    assert progress.left() == f"{8 * (1 + START_SECONDS):.0f} s"
    run = swept.runs()[0]
    progress.begin(run)
    progress.tick()
    clock.now = 10.0  # nine seconds beside the planned one
    progress.finish(Outcome(run, result(1234.0)))
    assert stream.getvalue() == f"run 1 of 8  repeat 1 of 2  {run.point.name}: 1,234/s  1 min 10 s left\n"
    progress.begin(swept.runs()[1])
    clock.now = 14.0
    assert progress.left() == "1 min 6 s"
    clock.now = 1000.0  # a run that hangs does not eat the others' time
    assert progress.left() == "1 min 0 s"


def test_a_failed_run_is_told_with_its_reason() -> None:
    swept, stream = plan(), Terminal()
    progress = SweepProgress(swept, 0, stream)
    progress.begin(swept.runs()[0])
    progress.finish(Outcome(swept.runs()[0], None, "ended with status 1: no leader"))
    progress.end()
    assert "no result  FAILED: ended with status 1: no leader" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_a_terminal_has_one_line_that_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    swept, clock, stream = plan(), Clock(), Terminal()
    progress = SweepProgress(swept, 0, stream, clock)
    assert progress.is_live
    progress.begin(swept.runs()[0])
    clock.now = 2.0
    progress.tick()
    progress.finish(Outcome(swept.runs()[0], result()))
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().count("run 1 of 8") == 2
    progress.begin(swept.runs()[1])
    assert stream.getvalue().endswith(" left  (before: 1,000/s)")


def test_runs_of_an_earlier_time_are_not_waited_for() -> None:
    swept = plan()
    progress = SweepProgress(swept, 6, None)
    for run in swept.runs()[:6]:
        progress.skip(run)
    assert progress.left() == f"{2 * (1 + START_SECONDS):.0f} s"


@pytest.mark.parametrize(("seconds", "told"), [(0.4, "0 s"), (59.4, "59 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 5 min")])
def test_lengths_of_time(seconds: float, told: str) -> None:
    assert duration(seconds) == told
