from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from triskele.cli import main

if TYPE_CHECKING:
    from pathlib import Path

TINY = """
name = "tiny"
repeats = 1

[base]
local = 1
durability = "memory"
clients = 1
threads = 2
operations = 400
warmup_seconds = 0

[axes]
pendings = [8]
"""


def test_a_real_sweep_measures_every_point_and_its_runs_can_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    out = tmp_path / "out"
    assert main(["sweep", str(tmp_path / "tiny.toml"), "--output", str(out)]) == 0
    printed = capsys.readouterr()
    assert "pendings 8" in printed.out
    assert "run 1 of 1" in printed.err
    report = json.loads((out / "report.json").read_text())
    (point,) = report["points"]
    (run,) = point["runs"]
    result = json.loads((out / run["file"]).read_text())
    assert (result["operations"], result["settings"]["pendings"], result["settings"]["durability"]) == (400, 8, "memory")
    assert point["figures"]["throughput_per_second"]["median"] == result["throughput_per_second"]
    assert point["figures"]["syscalls_per_operation"]["median"] > 0
    assert main(["compare", str(out), str(out)]) == 0
    assert "pendings 8" in capsys.readouterr().out
    assert main(["sweep", str(tmp_path / "tiny.toml"), "--output", str(out)]) == 2
    assert "holds 1 of the 1 runs of this sweep" in capsys.readouterr().err
    assert main(["sweep", str(tmp_path / "tiny.toml"), "--output", str(out), "--resume", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_load_that_fails_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The cluster takes one session, the load wants two: settings of the cluster reach it too."""
    (tmp_path / "tiny.toml").write_text(TINY.replace("threads = 2", "threads = 2\nsessions_max = 1"))
    assert main(["sweep", str(tmp_path / "tiny.toml"), "--output", str(tmp_path / "out"), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("triskele: sweep: pendings 8 (001-pendings-8-1.json) failed: ended with status 1: 1 of 2 sessions opened: ")
    assert err.count("\n") == 1
    assert (tmp_path / "out" / "report.html").exists()


def test_our_experiments_are_listed_with_what_they_are_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10
    assert any(line.startswith("parallelism  ") and "streams" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--output x", "FILE: missing: name a TOML file or one of our experiments"),
        ("depth", "--output: missing: name the folder for the runs and reports"),
        ("depht --output x", "depht: No such file or directory; nor is it one of ours: "),
        ("wrong.toml --output x", "pendings in wrong.toml 0: must be a whole number from 1 to 4096"),
        ("depth --output x --repeats 0", "--repeats 0: must be a whole number from 1 to 1000"),
        ("depth --output x --seconds 0", "--seconds 0: must be a number of seconds above 0"),
        ("long-run --output x --seconds 2", "--seconds 2: long-run.toml compares runs of different operations (operations)"),
        ("depth --output wrong.toml", "--output wrong.toml: cannot be written: File exists"),
        ("depth --output .", "--output .: is not empty, and is no folder of a sweep"),
    ],
)
def test_wrong_usage_is_one_line_and_makes_no_folder(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.toml").write_text("[axes]\npendings = [0]\n")
    assert main(["sweep", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"triskele: {message}")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]
