"""A sweep ends with its reports, also when it is interrupted or runs have failed."""

from __future__ import annotations

import io
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.runner import LoadFailed
from loadgen.sweep.run import sweep
from replica.config import SettingError
from tests.loadgen.sweep.fake_load import FAILS
from tests.loadgen.sweep.stand import fake_load, plan

if TYPE_CHECKING:
    from pathlib import Path

SHORT = "repeats = 3\n[base]\nthreads = 1\n[axes]\npendings = [5, 15]\n"


class Interrupting(io.StringIO):
    """Sends this process a signal when a line is written."""

    def __init__(self, line: str, number: int) -> None:
        super().__init__()
        self.line, self.number = line, number

    def write(self, text: str) -> int:
        if text.startswith(self.line):
            os.kill(os.getpid(), self.number)
        return super().write(text)


def test_all_reports_are_written(tmp_path: Path) -> None:
    stream = io.StringIO()
    report, status = sweep(plan(SHORT), tmp_path / "out", resume=False, stream=stream, program=fake_load(tmp_path))
    assert status == 0
    assert not report["partial"]
    assert [point["figures"]["throughput_per_second"]["median"] for point in report["points"]] == [5000.0, 15000.0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "report.csv",
        "report.html",
        "report.json",
        "report.md",
        "runs",
        "sweep.json",
    ]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert len(stream.getvalue().splitlines()) == 7
    assert stream.getvalue().startswith("two: 2 points, 6 runs; about ")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sweep_keeps_and_reports_what_it_has_and_goes_on_later(number: int, status: int, tmp_path: Path) -> None:
    stream = Interrupting("run 2 of 6", number)
    report, ended = sweep(plan(SHORT), tmp_path / "out", resume=False, stream=stream, program=fake_load(tmp_path))
    assert ended == status
    assert report["partial"]
    assert sum(len(point["runs"]) for point in report["points"]) == 2
    assert stream.getvalue().endswith(f"stopped by {signal.Signals(number).name}; 2 of 6 runs are kept\n")
    assert "Partial: 2 of 6 runs are here." in (tmp_path / "out" / "report.html").read_text()
    again, ended = sweep(plan(SHORT), tmp_path / "out", resume=True, stream=(said := io.StringIO()), program=fake_load(tmp_path))
    assert ended == 0
    assert not again["partial"]
    assert said.getvalue().startswith("two: 2 points, 6 runs, 2 of them done; about ")
    assert len(said.getvalue().splitlines()) == 5
    uninterrupted, _ = sweep(plan(SHORT), tmp_path / "other", resume=False, stream=None, program=fake_load(tmp_path))
    assert again["points"] == uninterrupted["points"]


def test_failed_runs_are_status_1_and_in_the_report(tmp_path: Path) -> None:
    text = f"repeats = 2\n[axes]\nthreads = [1, {FAILS}]\n"
    report, status = sweep(plan(text), tmp_path / "out", resume=False, stream=None, program=fake_load(tmp_path))
    assert status == 1
    assert not report["partial"]
    assert [(failure["point"], failure["why"]) for failure in report["failures"]] == [
        ("threads 3", "ended with status 1: load: no leader served")
    ] * 2
    assert report["points"][1]["figures"] == {}
    assert "no leader served" in (tmp_path / "out" / "report.html").read_text()


def test_a_disk_that_gives_up_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    swept = plan(SHORT)

    class Breaking(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith("run 1 "):
                for path in (tmp_path / "out" / "runs").iterdir():
                    path.unlink()
                (tmp_path / "out" / "runs").rmdir()
            return super().write(text)

    with pytest.raises(LoadFailed, match=r"out cannot be written any more: No such file or directory; --resume goes on"):
        sweep(swept, tmp_path / "out", resume=False, stream=Breaking(), program=fake_load(tmp_path))


@pytest.mark.parametrize("change", [{"latency_ms": None}, {"replicas": 5}, {"throughput_per_second": float("nan")}, {"throughput_series": 7}])
def test_a_damaged_result_is_one_line_before_anything_runs(change: dict[str, Any], tmp_path: Path) -> None:
    swept = plan(SHORT)
    sweep(swept, tmp_path / "out", resume=False, stream=None, program=fake_load(tmp_path))
    first, second, *_ = (tmp_path / "out" / "runs" / run.file for run in swept.runs())
    first.write_text(json.dumps(json.loads(first.read_text()) | change))
    second.unlink()
    with pytest.raises(SettingError, match="is not what its schema says") as error:
        sweep(swept, tmp_path / "out", resume=True, stream=None, program=fake_load(tmp_path))
    assert str(first) in str(error.value)
    assert not second.exists()
