from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.triskele.profile.profiled import result
from triskele.child import child_environment
from triskele.cli import main
from triskele.profile.folder import write_folder


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


def test_an_interrupt_is_one_line_and_the_replicas_can_be_sampled_again_at_once(real_cluster: str, tmp_path: Path) -> None:
    def command(seconds: str) -> list[str]:
        return [sys.executable, "-m", "triskele", "profile", "--cluster", real_cluster, "--seconds", seconds, "--output", str(tmp_path)]

    with subprocess.Popen(command("60"), stderr=subprocess.PIPE, text=True, env=child_environment()) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("sampling 3 replicas")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "triskele: profile: stopped by SIGINT, nothing is reported\n"
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
    assert main(command("0.2")[3:]) == 0


def test_a_replica_that_is_missing_makes_the_profile_partial(real_cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(Path(real_cluster).read_text())
    told["replicas"][2]["admin"] = "http://127.0.0.1:1"
    (tmp_path / "ready.json").write_text(json.dumps(told))
    assert main(["profile", "--cluster", str(tmp_path / "ready.json"), "--seconds", "0.2", "--output", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "\npartial report: " in printed.out
    assert "triskele: profile: replica 2 is missing: http://127.0.0.1:1" in printed.err
    assert json.loads((tmp_path / "profile.json").read_text())["partial"] is True
    assert (tmp_path / "report.md").read_text().startswith("# Profile (PARTIAL)\n")


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--cluster", "http://127.0.0.1:1", "--seconds", "1", "--output", str(tmp_path)]) == 1
    assert "no replica could be sampled: replica 0: " in capsys.readouterr().err


def test_two_profiles_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write_folder(tmp_path / name, result(), {}, [])
    assert main(["profile", "--compare", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    assert "cpu, us/operation" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"machine": 5}, {"processes": 3}, {"load": 5}, {"machine_idle": None}, {"processes": [{"role": "leader"}]}])
def test_a_damaged_profile_is_one_line_with_its_folder(change: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write_folder(tmp_path / name, result(), {}, [])
    file = tmp_path / "new" / "profile.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert main(["profile", "--compare", str(tmp_path / "old"), str(tmp_path / "new")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"triskele: --compare {tmp_path / 'new'}: profile.json is not what its schema says: ")
    assert len(told.splitlines()) == 1


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
