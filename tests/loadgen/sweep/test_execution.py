"""Runs are processes of their own, one after the other; one that fails does not end the sweep, one that hangs is ended."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from loadgen.sweep import execution
from loadgen.sweep.execution import environment_of, execute
from loadgen.sweep.folder import Outcome, open_folder
from loadgen.sweep.progress import SweepProgress
from tests.loadgen.sweep.fake_load import DEAF, FAILS, HANGS, LOSES, SILENT
from tests.loadgen.sweep.stand import fake_load, plan

if TYPE_CHECKING:
    from pathlib import Path


async def outcomes(tmp_path: Path, text: str) -> list[Outcome]:
    swept = plan(text)
    with open_folder(tmp_path / "out", swept, resume=True) as folder:
        assert await execute(swept, folder, SweepProgress(swept, 0, io.StringIO()), fake_load(tmp_path)) == 0
        return folder.outcomes(swept)


async def test_each_run_gets_its_flags_and_no_settings_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRISKELE_THREADS", "7")
    found = await outcomes(tmp_path, "repeats = 2\n[base]\nforward_seconds = 0.5\n[axes]\npendings = [5, 15]\n")
    assert [outcome.run for outcome in found] == plan("repeats = 2\n[base]\nforward_seconds = 0.5\n[axes]\npendings = [5, 15]\n").runs()
    for outcome in found:
        assert outcome.result is not None
        assert outcome.result["throughput_per_second"] == 1000.0 * int(str(outcome.run.point.flags["pendings"]))
        assert outcome.result["told"]["variables"] == {"TRISKELE_FORWARD_SECONDS": "0.5"}
        words = outcome.result["told"]["words"]
        assert words == [*outcome.run.point.words(), "--quiet", "--json", str(tmp_path / "out" / "running.json")]


async def test_a_failed_run_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    found = await outcomes(tmp_path, f"repeats = 1\n[axes]\nthreads = [1, {FAILS}, {SILENT}, {LOSES}]\n")
    by_threads = {str(outcome.run.point.flags["threads"]): outcome for outcome in found}
    assert {threads: outcome.failure for threads, outcome in by_threads.items()} == {
        "1": "",
        FAILS: "ended with status 1: load: no leader served",
        SILENT: "ended with status 0 and wrote no result",
        LOSES: "ended with status 1: load: 3 have an unknown outcome",
    }
    assert {threads for threads, outcome in by_threads.items() if outcome.result} == {"1", LOSES}


@pytest.mark.parametrize("threads", [HANGS, DEAF])
async def test_a_run_that_takes_too_long_is_ended_and_has_failed(threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "GRACE_SECONDS", 0.1)
    (outcome,) = await outcomes(tmp_path, f"repeats = 1\nrun_seconds_max = 1\n[axes]\nthreads = [{threads}]\n")
    assert (outcome.result, outcome.failure) == (None, "took longer than 1 s")


async def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    text = f"repeats = 1\n[axes]\nthreads = [1, 2, {FAILS}]\n"
    before = await outcomes(tmp_path, text)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").iterdir()}
    assert await outcomes(tmp_path, text) == before
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").iterdir()} == times
    (tmp_path / "out" / "runs" / before[0].run.file).unlink(missing_ok=True)
    (tmp_path / "out" / "runs" / before[0].run.file).with_suffix(".failed").unlink(missing_ok=True)
    assert len(await outcomes(tmp_path, text)) == 3


async def test_a_folder_that_can_no_longer_be_written_ends_the_sweep(tmp_path: Path) -> None:
    swept = plan("repeats = 1\n[axes]\nthreads = [1]\n")
    with open_folder(tmp_path / "out", swept, resume=False) as folder:
        (tmp_path / "out" / "runs").rmdir()
        with pytest.raises(FileNotFoundError):
            await execute(swept, folder, SweepProgress(swept, 0, None), fake_load(tmp_path))


def test_the_environment_of_a_run_is_ours_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING", "else")
    monkeypatch.setenv("TRISKELE_MODE", "ht")
    environment = environment_of(plan().runs()[0])
    assert environment["SOMETHING"] == "else"
    assert "TRISKELE_MODE" not in environment
