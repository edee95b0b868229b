"""``make test``'s runner: every step runs, the verdict is honest, the summary can be read."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tools import check
from tools.check import (
    CORE_TESTS,
    PROOF_TESTS,
    ROOT,
    CheckFailedError,
    Outcome,
    Step,
    all_steps,
    coverage_total,
    pytest_closing_line,
    run_step,
    smoke_note,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASS = (sys.executable, "-c", "print('fine')")
FAIL = (sys.executable, "-c", "raise SystemExit(3)")
HANG = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, check.on_alarm)
    yield
    signal.signal(signal.SIGALRM, before)


def load_result(folder: Path, **changes: object) -> Path:
    result = {"operations": 20_000, "failed": 0, "unknown": 0, "throughput_per_second": 40_000.0, **changes}
    path = folder / "result.json"
    path.write_text(json.dumps(result))
    return path


def test_a_step_passes_when_all_its_commands_do() -> None:
    assert run_step(Step("good", (PASS, PASS), 30.0)).passed
    assert not run_step(Step("bad", (PASS, FAIL), 30.0)).passed


def test_a_steps_later_commands_run_after_an_earlier_one_failed(capfd: pytest.CaptureFixture[str]) -> None:
    assert not run_step(Step("bad", (FAIL, PASS), 30.0)).passed
    assert "fine" in capfd.readouterr().out


def test_a_command_that_hangs_is_stopped_and_said_so(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run_step(Step("slow", (HANG,), 0.3))
    assert not outcome.passed
    assert outcome.seconds < 10
    assert "still running after 0 s" in capfd.readouterr().out


def test_a_step_whose_result_does_not_hold_fails() -> None:
    def judge(_lines: list[str]) -> str:
        raise CheckFailedError("3 unknown")

    outcome = run_step(Step("judged", (PASS,), 30.0, judge))
    assert (outcome.passed, outcome.note) == (False, "3 unknown")


@pytest.mark.parametrize(
    ("line", "closing"),
    [
        ("======= 12 passed in 0.52s =======", "12 passed in 0.52s"),
        ("= 1 failed, 11 passed, 2 warnings in 61.20s (0:01:01) =", "1 failed, 11 passed, 2 warnings in 61.20s (0:01:01)"),
        ("12 passed in 0.52s", "12 passed in 0.52s"),
        ("======= FAILURES =======", ""),
    ],
)
def test_pytests_closing_line_is_found(line: str, closing: str) -> None:
    assert pytest_closing_line(["collected 12 items", line, ""]) == closing


def test_the_coverage_total_is_found() -> None:
    assert coverage_total(["Name  Stmts", "TOTAL  1200  14  400  9  97%"]) == "replica.core 97% (at least 95%)"
    assert coverage_total(["No data to report."]) == ""


def test_a_smoke_run_holds_only_without_failed_and_unknown_commands(tmp_path: Path) -> None:
    assert smoke_note(load_result(tmp_path))([]) == "20,000 commands, 40,000/s, 0 failed, 0 unknown"
    for changes in ({"failed": 1}, {"unknown": 1}, {"operations": 19_999}, {"operations": None}):
        with pytest.raises(CheckFailedError):
            smoke_note(load_result(tmp_path, **changes))([])


def test_a_smoke_run_without_a_result_fails(tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match="no readable result"):
        smoke_note(tmp_path / "never-written.json")([])


def test_the_summary_names_what_failed() -> None:
    text = summary([Outcome("lint", passed=True, seconds=1.0, note=""), Outcome("tests", passed=False, seconds=2.5, note="3 failed in 2.4s")])
    assert "  passed  lint" in text
    assert "  FAILED  tests" in text
    assert "3 failed in 2.4s" in text
    assert text.endswith("FAILED: tests, 3.5 s in all")


def test_an_unknown_step_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["nonsense"]) == 2
    assert "no such step: nonsense" in capsys.readouterr().err


def test_what_make_test_leaves_out_make_prove_runs() -> None:
    (command,) = next(step.commands for step in all_steps() if step.name == "tests")
    left_out = {word.removeprefix("--ignore=") for word in command if word.startswith("--ignore=")}
    assert left_out == {*PROOF_TESTS, *CORE_TESTS, "tests/test_layers.py"}
    assert all((ROOT / path).exists() for path in left_out)
    assert f"-m pytest -q {' '.join(PROOF_TESTS)}\n" in (ROOT / "Makefile").read_text()
