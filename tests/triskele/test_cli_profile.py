from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.triskele.profile.profiled import result
from triskele.cli import main
from triskele.profile.folder import write_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_profile_under_load_writes_its_folder(real_cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "profile"
    load = "--clients 1 --threads 1 --warmup-seconds 0.1 --key-space 1000 --quiet"
    assert main(["profile", "--cluster", real_cluster, "--seconds", "0.5", "--load", load, "--output", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "replica-0" in out
    assert str(folder / "report.html") in out
    told = json.loads((folder / "profile.json").read_text())
    assert [process["name"] for process in told["processes"]] == ["replica-0", "replica-1", "replica-2", "clients"]
    assert told["load"]["operations"] > 0
    assert "durability" in told["load"]["settings"]
    for process in told["processes"]:
        assert round(sum(process["areas"].values()), 6) in ({1} if process["samples"] else {0, 1})
    assert (folder / "client-0.pprof").exists()


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--cluster", "http://127.0.0.1:1", "--seconds", "1", "--output", str(tmp_path)]) == 1
    assert "no replica could be sampled: replica 0: " in capsys.readouterr().err


def test_two_profiles_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write_folder(tmp_path / name, result(), {}, [])
    assert main(["profile", "--compare", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    assert "cpu, us/operation" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--output: missing: name the folder for the reports"),
        ("--output x --local 3 --cluster c", "--local 3: --cluster c says where a cluster is: give one of them"),
        ("--output x --seconds 301", "--seconds 301.0: must be 300 at most"),
        ("--output x --hz 2000", "--hz 2000: must be a whole number from 1 to 1000"),
        ("--compare x y", "--compare x: profile.json: No such file or directory"),
        ("--output x --load=--threds", "--threds: no such flag; did you mean --threads?; see triskele load --help"),
    ],
)
def test_wrong_usage_is_one_line_and_makes_no_folder(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["profile", *words.split()]) == 2
    assert capsys.readouterr().err == f"triskele: {message}\n"
    assert list(tmp_path.iterdir()) == []
